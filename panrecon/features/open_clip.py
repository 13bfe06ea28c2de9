"""Words by CLIP models of open_clip (Ilharco et al., 2021), where that package is installed."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from panrecon.errors import InputError, install_command
from panrecon.features.clip import PromptedWords
from panrecon.networks.inference import fitting_memory, out_of_memory
from panrecon.networks.pretrained import summary
from panrecon.networks.torchvision_ops import ensure_torchvision


def load_open_clip(name: str, weights: Path, where: torch.device) -> PromptedWords:
    """The model of this name, such as ViT-L-14-quickgelu, with the weights of a file.

    Raises:
        InputError: the package, the name or the file is not there, or the file is of another model.
    """
    ensure_torchvision()
    try:
        import open_clip
    except ImportError as error:
        raise InputError(f"open_clip is not installed; {install_command('open_clip')}, or take --clip.") from error
    if name not in open_clip.list_models():
        raise InputError(f"open_clip has no model {name!r}; it has such as ViT-L-14 and ViT-L-14-quickgelu.")
    if "hf_model_name" in open_clip.get_model_config(name)["text_cfg"]:
        raise InputError(f"open_clip's {name} reads words by a model that it would download; take another.")
    if not weights.is_file():
        raise InputError(f"The weights {weights} do not exist; download those of open_clip's {name}.")
    try:
        with fitting_memory(name):
            network = open_clip.create_model(name, pretrained=str(weights), device=where)
    except InputError:
        raise
    except Exception as error:  # its readers meet foreign bytes with nearly any of them
        if out_of_memory(error):
            raise
        raise InputError(
            f"The weights {weights} are not those of open_clip's {name} ({summary(error)}); download them again."
        ) from error
    network = network.eval().requires_grad_(False)
    tokenizer = open_clip.get_tokenizer(name)

    def embedding(text: str) -> Float[np.ndarray, " D"]:
        with torch.inference_mode():
            return np.asarray(network.encode_text(tokenizer([text]).to(where))[0].float().cpu().numpy())

    return PromptedWords(embedding)

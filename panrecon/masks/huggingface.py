"""GroundingDINO and SAM as Hugging Face's transformers has them, read from folders of safetensors."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from panrecon.masks.prompt import Prompt
from panrecon.masks.protocols import DetectorOutput, detector_outputs, image_embeddings
from panrecon.networks.inference import Precision, autocast
from panrecon.networks.pretrained import read_folder
from panrecon.networks.torchvision_ops import ensure_torchvision

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class HuggingFaceGroundingDino:
    """A Detector; `folder` holds `config.json` and `model.safetensors` of a `grounding-dino` model.

    Raises:
        InputError: the folder is of another model, or its weights are damaged or not all there.
    """

    def __init__(self, folder: Path, device: "torch.device", precision: Precision) -> None:
        ensure_torchvision()
        from transformers import GroundingDinoForObjectDetection

        self.device = device
        self._precision = precision
        self._model = read_folder(
            folder, "GroundingDINO", {"grounding-dino": GroundingDinoForObjectDetection.from_pretrained}
        ).to(device)

    def detect(self, pixels: 'Float[Tensor, "b 3 h w"]', prompt: Prompt) -> list[DetectorOutput]:
        """As `Detector.detect`."""
        import torch

        tokens = torch.tensor(prompt.tokens, device=self.device).expand(len(pixels), -1)
        with torch.inference_mode(), autocast(self.device, self._precision):
            output = self._model(
                pixel_values=pixels,
                input_ids=tokens,
                token_type_ids=torch.zeros_like(tokens),
                attention_mask=torch.ones_like(tokens),
            )
        return detector_outputs(output.pred_boxes, output.logits[..., : len(prompt.tokens)], self._precision)


class HuggingFaceSam:
    """A Masker; `folder` holds `config.json` and `model.safetensors` of a `sam` model.

    Raises:
        InputError: as for the detector.
    """

    def __init__(self, folder: Path, device: "torch.device", precision: Precision) -> None:
        ensure_torchvision()
        from transformers import SamModel

        self.device = device
        self._precision = precision
        self._model = read_folder(folder, "SAM", {"sam": SamModel.from_pretrained}).to(device)
        self.side = int(self._model.config.vision_config.image_size)

    def embed(self, pixels: 'Float[Tensor, "b 3 side side"]') -> 'Float[Tensor, "b c e e"]':
        """As `Masker.embed`."""
        return image_embeddings(self._model.get_image_embeddings, pixels, self._precision)

    def decode(
        self, embedding: 'Float[Tensor, "c e e"]', box: Float[np.ndarray, "n 4"]
    ) -> Float[np.ndarray, "n low low"]:
        """As `Masker.decode`."""
        import torch

        boxes = torch.from_numpy(box.astype(np.float32)).to(self.device)
        with torch.inference_mode():
            output = self._model(image_embeddings=embedding[None], input_boxes=boxes[None], multimask_output=False)
        return np.asarray(output.pred_masks[0, :, 0].cpu().numpy())

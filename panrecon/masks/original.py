"""GroundingDINO and SAM by their authors' own packages, read from the released `.pth` files.

groundingdino-py and segment-anything fix the sizes of their networks in code and configuration; here they are read off
the weights, so that one loader takes every released size. Nothing pickled is executed.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import Float

from panrecon.errors import InputError
from panrecon.masks.prompt import VOCABULARY, Prompt
from panrecon.masks.protocols import DetectorOutput, detector_outputs, image_embeddings
from panrecon.networks.inference import Precision, autocast, out_of_memory
from panrecon.networks.pretrained import read_state, summary
from panrecon.networks.torchvision_ops import ensure_torchvision

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PATCH: Final = 16  # of SAM's image encoder, pixels
HEAD_WIDTH_OF_BERT: Final = 64
NOT_BUILT: Final = (  # what the released files hold and the package does not build
    "bert.embeddings.position_ids",  # a buffer of older transformers
    "label_enc.weight",  # labels of the denoising task, for training only
)


class OriginalGroundingDino:
    """A Detector by groundingdino-py; `file` is a released checkpoint, `groundingdino_swint_ogc.pth` or the like.

    Raises:
        InputError: the file is no such checkpoint, or a package is missing.
    """

    def __init__(self, file: Path, device: "torch.device", precision: Precision) -> None:
        self.device = device
        self._precision = precision
        state = {
            key.removeprefix("module."): value for key, value in read_state(file, "GroundingDINO", "model").items()
        }
        for name in NOT_BUILT:
            state.pop(name, None)
        with fitting(file, "GroundingDINO"):
            self._model = build_grounding_dino(state)
            load_strictly(self._model, state)
        self._model.to(device)

    def detect(self, pixels: 'Float[Tensor, "b 3 h w"]', prompt: Prompt) -> list[DetectorOutput]:
        """As `Detector.detect`."""
        import torch

        with torch.inference_mode(), autocast(self.device, self._precision), quiet():
            output = self._model(pixels, captions=[prompt.text] * len(pixels))
        return detector_outputs(output["pred_boxes"], output["pred_logits"][..., : len(prompt.tokens)], self._precision)


class OriginalSam:
    """A Masker by segment-anything; `file` is a released checkpoint, `sam_vit_h_4b8939.pth` or the like.

    Raises:
        InputError: the file is no such checkpoint, or the package is missing.
    """

    def __init__(self, file: Path, device: "torch.device", precision: Precision) -> None:
        self.device = device
        self._precision = precision
        state = read_state(file, "SAM")
        with fitting(file, "SAM"):
            self._model = build_sam(state)
            load_strictly(self._model, state)
        self._model.to(device)
        self.side = int(self._model.image_encoder.img_size)

    def embed(self, pixels: 'Float[Tensor, "b 3 side side"]') -> 'Float[Tensor, "b c e e"]':
        """As `Masker.embed`."""
        return image_embeddings(self._model.image_encoder, pixels, self._precision)

    def decode(
        self, embedding: 'Float[Tensor, "c e e"]', box: Float[np.ndarray, "n 4"]
    ) -> Float[np.ndarray, "n low low"]:
        """As `Masker.decode`."""
        import torch

        boxes = torch.from_numpy(box.astype(np.float32)).to(self.device)
        with torch.inference_mode():
            sparse, dense = self._model.prompt_encoder(points=None, boxes=boxes, masks=None)
            logits, _ = self._model.mask_decoder(
                image_embeddings=embedding[None],
                image_pe=self._model.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
        return np.asarray(logits[:, 0].cpu().numpy())


@contextlib.contextmanager
def fitting(file: Path, model: str) -> Iterator[None]:
    """Turns what a package says of weights that are not its model's, or of its absence, into one sentence."""
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"The package {error.name} is missing, which masks.implementation=original needs; run make setup, "
            "or set masks.implementation=transformers."
        ) from error
    except (KeyError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        raise InputError(f"{file} holds no weights of {model} ({summary(error)}); download that.") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of packages of 2023 about what has moved since."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield


def load_strictly(model: Any, state: Mapping[str, "Tensor"]) -> None:
    """Gives the model its weights: all of them, and no other."""
    model.load_state_dict(state, strict=True)
    model.eval().requires_grad_(False)


def build_grounding_dino(state: Mapping[str, "Tensor"]) -> Any:
    """The network that the weights are of, as groundingdino-py builds it."""
    ensure_torchvision()
    with contextlib.redirect_stdout(io.StringIO()), quiet():
        from groundingdino.models import build_model
        from groundingdino.util.slconfig import SLConfig

        with _bert_without_download(state):
            return build_model(SLConfig(grounding_dino_config(state)))


def grounding_dino_config(state: Mapping[str, "Tensor"]) -> dict[str, Any]:
    """The released configuration of the weights' backbone, with the sizes of the weights."""
    from groundingdino.config import GroundingDINO_SwinB_cfg, GroundingDINO_SwinT_OGC

    released = {96: GroundingDINO_SwinT_OGC, 128: GroundingDINO_SwinB_cfg}  # by the width of the first embedding
    width = len(state["backbone.0.patch_embed.proj.weight"])
    if width not in released:
        raise KeyError(f"no Swin Transformer of width {width} was released")
    num_queries, hidden = state["transformer.tgt_embed.weight"].shape
    sizes = {
        "enc_layers": count(state, "transformer.encoder.layers."),
        "dec_layers": count(state, "transformer.decoder.layers."),
        "dim_feedforward": len(state["transformer.encoder.layers.0.linear1.weight"]),
        "hidden_dim": hidden,
        "num_queries": num_queries,
    }
    for_training = {"use_checkpoint": False, "use_transformer_ckpt": False}  # which save memory there only
    settings = {name: value for name, value in vars(released[width]).items() if not name.startswith("_")}
    return settings | sizes | for_training


@contextlib.contextmanager
def _bert_without_download(state: Mapping[str, "Tensor"]) -> Iterator[None]:
    """groundingdino-py fetches BERT and its words from a hub; the checkpoint has the weights, and we have the words."""
    from groundingdino.util import get_tokenlizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words, width = state["bert.embeddings.word_embeddings.weight"].shape
    config = BertConfig(
        vocab_size=words,
        hidden_size=width,
        num_hidden_layers=count(state, "bert.encoder.layer."),
        num_attention_heads=max(1, width // HEAD_WIDTH_OF_BERT),
        intermediate_size=len(state["bert.encoder.layer.0.intermediate.dense.weight"]),
    )
    before = get_tokenlizer.get_tokenlizer, get_tokenlizer.get_pretrained_language_model
    get_tokenlizer.get_tokenlizer = lambda _: BertTokenizerFast(str(VOCABULARY), do_lower_case=True)
    get_tokenlizer.get_pretrained_language_model = lambda _: BertModel(config)
    try:
        yield
    finally:
        get_tokenlizer.get_tokenlizer, get_tokenlizer.get_pretrained_language_model = before


def build_sam(state: Mapping[str, "Tensor"]) -> Any:
    """The network that the weights are of, as segment-anything's `build_sam` builds it."""
    import torch

    ensure_torchvision()
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    position = state["image_encoder.pos_embed"]
    grid = position.shape[1]
    width = position.shape[3]
    depth = count(state, "image_encoder.blocks.")
    positions_of_block = {block: len(state[f"image_encoder.blocks.{block}.attn.rel_pos_h"]) for block in range(depth)}
    windows = [length for length in positions_of_block.values() if length != 2 * grid - 1]
    hidden = len(state["prompt_encoder.no_mask_embed.weight"][0])
    encoder = ImageEncoderViT(
        depth=depth,
        embed_dim=width,
        img_size=grid * PATCH,
        mlp_ratio=len(state["image_encoder.blocks.0.mlp.lin1.weight"]) / width,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=width // state["image_encoder.blocks.0.attn.rel_pos_h"].shape[1],
        patch_size=PATCH,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=[block for block, length in positions_of_block.items() if length == 2 * grid - 1],
        window_size=(windows[0] + 1) // 2 if windows else 0,
        out_chans=hidden,
    )
    size = (grid * PATCH, grid * PATCH)
    prompts = PromptEncoder(
        embed_dim=hidden, image_embedding_size=(grid, grid), input_image_size=size, mask_in_chans=16
    )
    transformer = TwoWayTransformer(
        depth=count(state, "mask_decoder.transformer.layers."),
        embedding_dim=hidden,
        mlp_dim=len(state["mask_decoder.transformer.layers.0.mlp.lin1.weight"]),
        num_heads=8,
    )
    decoder = MaskDecoder(
        num_multimask_outputs=count(state, "mask_decoder.output_hypernetworks_mlps.") - 1,
        transformer=transformer,
        transformer_dim=hidden,
        iou_head_depth=count(state, "mask_decoder.iou_prediction_head.layers."),
        iou_head_hidden_dim=len(state["mask_decoder.iou_prediction_head.layers.0.weight"]),
    )
    return Sam(image_encoder=encoder, prompt_encoder=prompts, mask_decoder=decoder)


def count(state: Mapping[str, "Tensor"], prefix: str) -> int:
    """How many numbered modules there are under `prefix`."""
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})

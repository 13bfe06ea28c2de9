"""GroundingDINO and SAM of random weights and reduced sizes, in the formats and with the key names of the releases."""

import re
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from panrecon.networks.torchvision_ops import ensure_torchvision

ensure_torchvision()

from transformers import (  # noqa: E402
    BertConfig,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    SamConfig,
    SamMaskDecoderConfig,
    SamModel,
    SamPromptEncoderConfig,
    SamVisionConfig,
    SwinConfig,
)

SIDE: Final = 256  # of the square that the tiny SAM sees, pixels
WIDTH: Final = 64  # of the tiny networks


def grounding_dino(swin_t: bool = False, seed: int = 0) -> Any:
    """Two layers and 40 queries; with Swin-T as backbone, as groundingdino-py knows no smaller one, or a tiny one."""
    sizes = {"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24], "window_size": 7}
    tiny = {"embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 7}
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(image_size=224, out_indices=[2, 3, 4], **(sizes if swin_t else tiny)),
        text_config=BertConfig(
            hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=1, intermediate_size=WIDTH
        ).to_dict(),
        num_queries=40,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=WIDTH,
        decoder_ffn_dim=WIDTH,
        d_model=256,  # which groundingdino-py takes for granted
    )
    return _randomised(GroundingDinoForObjectDetection(config), seed)


def sam(seed: int = 0) -> Any:
    """A ViT of two blocks, one of them windowed, and a decoder of the released shape."""
    vision = SamVisionConfig(
        hidden_size=WIDTH,
        output_channels=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        window_size=7,
        global_attn_indexes=[1],
        mlp_dim=2 * WIDTH,
        num_pos_feats=WIDTH // 2,
    )
    prompts = SamPromptEncoderConfig(hidden_size=WIDTH, image_size=SIDE, mask_input_channels=16)
    decoder = SamMaskDecoderConfig(hidden_size=WIDTH, mlp_dim=2 * WIDTH, iou_head_hidden_dim=WIDTH)
    config = SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    return _randomised(SamModel(config), seed)


def _randomised(model: Any, seed: int) -> Any:
    """Every number drawn anew: a fresh network has zeros where a trained one has not, and would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 1 / max(1, parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.1
            scales = parameter.ndim == 1 and ("norm" in name or "param" in name) and "bias" not in name
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread + scales)
            if name == "model.decoder.layer_norm.weight":
                parameter.mul_(0.1)  # scores between 0 and 1 instead of at either
    return model.eval()


def save(model: Any, folder: Path) -> Path:
    """A folder as Hugging Face's hub has it."""
    model.save_pretrained(folder, safe_serialization=True)
    return folder


def save_original_grounding_dino(model: Any, path: Path) -> Path:
    """A file as `groundingdino_swint_ogc.pth`: under `model`, from a network in a parallel wrapper, BERT included."""
    state = {f"module.{key}": value for key, value in original_grounding_dino(model.state_dict()).items()}
    state["module.bert.embeddings.position_ids"] = torch.arange(512)[None]
    state["module.label_enc.weight"] = torch.zeros(2001, 256)  # of the denoising task, which the package does not build
    torch.save({"model": state}, path)
    return path


def save_original_sam(model: Any, path: Path) -> Path:
    """A file as `sam_vit_h_4b8939.pth` is."""
    torch.save(original_sam(model.state_dict()), path)
    return path


SWIN = "model.backbone.conv_encoder.model."
NAMES_OF_GROUNDING_DINO: Final = (  # Hugging Face's, the original's
    (rf"^{SWIN}embeddings.patch_embeddings.projection", "backbone.0.patch_embed.proj"),
    (rf"^{SWIN}embeddings.norm", "backbone.0.patch_embed.norm"),
    (rf"^{SWIN}hidden_states_norms.stage2", "backbone.0.norm1"),
    (rf"^{SWIN}hidden_states_norms.stage3", "backbone.0.norm2"),
    (rf"^{SWIN}hidden_states_norms.stage4", "backbone.0.norm3"),
    (rf"^{SWIN}encoder\.", "backbone.0."),
    (r"(blocks.\d+).layernorm_before", r"\1.norm1"),
    (r"(blocks.\d+).layernorm_after", r"\1.norm2"),
    (r"(blocks.\d+).attention.self", r"\1.attn"),
    (r"(blocks.\d+).attention.output.dense", r"\1.attn.proj"),
    (r"(blocks.\d+).intermediate.dense", r"\1.mlp.fc1"),
    (r"(blocks.\d+).output.dense", r"\1.mlp.fc2"),
    (r"^model.input_proj_vision", "input_proj"),
    (r"^model.text_backbone", "bert"),
    (r"^model.text_projection", "feat_map"),
    (r"^model.query_position_embeddings", "transformer.tgt_embed"),
    (r"^model.encoder_output_bbox_embed", "transformer.enc_out_bbox_embed"),
    (r"^model.decoder.reference_points_head", "transformer.decoder.ref_point_head"),
    (r"^model.decoder.layer_norm", "transformer.decoder.norm"),
    (r"encoder.layers.(\d+).text_enhancer_layer", r"encoder.text_layers.\1"),
    (r"encoder.layers.(\d+).fusion_layer", r"encoder.fusion_layers.\1"),
    (r"encoder.layers.(\d+).deformable_layer", r"encoder.layers.\1"),
    (r"vision_param", "gamma_v"),
    (r"text_param", "gamma_l"),
    (r"fusion_layers.(\d+).layer_norm_vision", r"fusion_layers.\1.layer_norm_v"),
    (r"fusion_layers.(\d+).layer_norm_text", r"fusion_layers.\1.layer_norm_l"),
    (r"vision_proj", "v_proj"),
    (r"text_proj", "l_proj"),
    (r"text_layers.(\d+).layer_norm_before", r"text_layers.\1.norm1"),
    (r"text_layers.(\d+).layer_norm_after", r"text_layers.\1.norm2"),
    (r"encoder.layers.(\d+).self_attn_layer_norm", r"encoder.layers.\1.norm1"),
    (r"encoder.layers.(\d+).final_layer_norm", r"encoder.layers.\1.norm2"),
    (r"decoder.layers.(\d+).encoder_attn_text_layer_norm", r"decoder.layers.\1.catext_norm"),
    (r"decoder.layers.(\d+).encoder_attn_layer_norm", r"decoder.layers.\1.norm1"),
    (r"decoder.layers.(\d+).self_attn_layer_norm", r"decoder.layers.\1.norm2"),
    (r"decoder.layers.(\d+).final_layer_norm", r"decoder.layers.\1.norm3"),
    (r"decoder.layers.(\d+).encoder_attn_text", r"decoder.layers.\1.ca_text"),
    (r"decoder.layers.(\d+).encoder_attn", r"decoder.layers.\1.cross_attn"),
    (r"^((?!backbone).*)fc1", r"\1linear1"),
    (r"^((?!backbone).*)fc2", r"\1linear2"),
    (r"^model.", "transformer."),
)
NAMES_OF_SAM: Final = (
    (r"^vision_encoder.patch_embed.projection", "image_encoder.patch_embed.proj"),
    (r"^vision_encoder.neck.conv1", "image_encoder.neck.0"),
    (r"^vision_encoder.neck.layer_norm1", "image_encoder.neck.1"),
    (r"^vision_encoder.neck.conv2", "image_encoder.neck.2"),
    (r"^vision_encoder.neck.layer_norm2", "image_encoder.neck.3"),
    (r"^vision_encoder.layers", "image_encoder.blocks"),
    (r"(blocks.\d+).layer_norm", r"\1.norm"),
    (r"^vision_encoder", "image_encoder"),
    (r"^prompt_encoder.shared_embedding.positional_embedding", "skipped"),
    (r"^shared_image_embedding.positional_embedding", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    (r"mask_embed.conv1", "mask_downscaling.0"),
    (r"mask_embed.layer_norm1", "mask_downscaling.1"),
    (r"mask_embed.conv2", "mask_downscaling.3"),
    (r"mask_embed.layer_norm2", "mask_downscaling.4"),
    (r"mask_embed.conv3", "mask_downscaling.6"),
    (r"\.point_embed\.", ".point_embeddings."),
    (r"upscale_conv1", "output_upscaling.0"),
    (r"upscale_layer_norm", "output_upscaling.1"),
    (r"upscale_conv2", "output_upscaling.3"),
    (r"(mlps.\d+|iou_prediction_head).layers.0", r"\1.layers.1"),
    (r"(mlps.\d+|iou_prediction_head).proj_in", r"\1.layers.0"),
    (r"(mlps.\d+|iou_prediction_head).proj_out", r"\1.layers.2"),
    (r"(transformer.layers.\d+).layer_norm", r"\1.norm"),
    (r"layer_norm_final_attn", "norm_final_attn"),
)


def renamed(key: str, names: tuple[tuple[str, str], ...]) -> str:
    for pattern, name in names:
        key = re.sub(pattern, name, key)
    return key


def original_grounding_dino(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The original's tensors; query, key and value in one, but for BERT's."""
    result = {}
    for key, value in state.items():
        name = renamed(key, NAMES_OF_GROUNDING_DINO)
        result[name] = value
    parted = re.compile(r"^(?!bert)(.*)\.query\.(weight|bias)$")
    for key in [key for key in result if parted.match(key)]:
        module, kind = parted.match(key).groups()  # type: ignore[union-attr]
        whole = torch.cat([result.pop(f"{module}.{part}.{kind}") for part in ("query", "key", "value")])
        result[f"{module}.qkv.{kind}" if "backbone" in module else f"{module}.in_proj_{kind}"] = whole
    for copy in [key for key in result if key.startswith("bbox_embed.")]:
        result[f"transformer.decoder.{copy}"] = result[copy]
    width = result["feat_map.weight"].shape[1]
    return result | {
        "bert.pooler.dense.weight": torch.zeros(width, width),
        "bert.pooler.dense.bias": torch.zeros(width),
    }


def original_sam(state: dict[str, Tensor]) -> dict[str, Tensor]:
    result = {renamed(key, NAMES_OF_SAM): value for key, value in state.items()}
    result.pop("skipped")
    return result

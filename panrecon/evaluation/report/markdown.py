"""The record of an evaluation as the tables that papers print, in Markdown."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from panrecon.evaluation.report.record import MEANS

STEPS: Final = ("graph", "semantics", "field")
TITLES: Final = {"graph": "graph", "semantics": "+ semantics", "field": "+ field"}
COLUMNS: Final = tuple(f"{name}{group}" for group in ("", " things", " stuff") for name in ("PQ", "SQ", "RQ"))

Scores = Mapping[str, Any]


def quality_tables(record: Scores) -> str:
    """Tables in per cent: protocols, steps and classes of every scene; of several scenes their total."""
    parts = [_scene_tables(name, scene, record) for name, scene in record["scenes"].items()]
    if record["total"] is not None:
        parts.append(_total_table(record))
    return "\n\n".join(parts) + "\n"


def percent(value: float | None) -> str:
    """One decimal; a dash where undefined."""
    return "-" if value is None else f"{100 * value:.1f}"


def _scene_tables(name: str, scene: Scores, record: Scores) -> str:
    headline = record["protocols"][0]
    where = (
        "on the true vertices"
        if record["kind"] == "points"
        else f"on {scene['frames']} of {scene['true_frames']} frames, stacked"
    )
    interval = scene["protocols"][headline]["interval"]["pq"]
    void = f"Void rate: {percent(scene['void'])} % of the evaluated truth{_missing_geometry(scene)}."
    parts = [
        f"Panoptic quality of {' '.join(name.split())} {where}, protocol `{headline}`, per cent",
        *([_steps(scene, headline)] if "steps" in scene else []),
        _protocols(scene),
        _classes(scene, record),
        _other_metrics(scene),
        *_scripts(scene),
        *_views(scene),
        *_unknown(scene),
        f"{void} {_interval_sentence(interval, record, 'objects')}".strip(),
    ]
    return "\n\n".join(parts)


def _steps(scene: Scores, headline: str) -> str:
    rows = [
        [TITLES[step], *_means(scores, headline), percent(scores["semantic"]["miou"])]
        for step, scores in scene["steps"].items()
    ]
    return _table(["labels after", *COLUMNS, "mIoU"], rows)


def _protocols(scene: Scores) -> str:
    rows = [
        [f"`{name}`", *_means(scene, name), percent(scores["matched_iou"]), percent(scores["pq_dagger"])]
        for name, scores in scene["protocols"].items()
    ]
    return _table(["protocol", *COLUMNS, "IoU of pairs", "PQ†"], rows)


def _classes(scene: Scores, record: Scores) -> str:
    scores = scene["protocols"][record["protocols"][0]]["classes"]
    rows = []
    for category in record["classes"]:
        name = category["name"]
        if name not in scores:
            continue
        counts = (str(scores[name][key]) for key in ("true_positives", "false_positives", "false_negatives"))
        iou = scene["semantic"]["classes"].get(name, {"iou": None})["iou"]
        quality = (percent(scores[name][key]) for key in ("pq", "sq", "rq"))
        rows.append([name + ("*" if category["thing"] else ""), *quality, *counts, percent(iou)])
    return _table(["class (* thing)", "PQ", "SQ", "RQ", "TP", "FP", "FN", "IoU"], rows)


def _other_metrics(scene: Scores) -> str:
    """One row with the other metrics that papers print, as far as they are defined."""
    semantic = scene["semantic"]
    coverage = scene["coverage"]
    precision = scene["average_precision"]
    values = {
        "mIoU": semantic["miou"],
        "mAcc": semantic["macc"],
        "mIoU of frames": semantic["frame_miou"],
        "mAcc of frames": semantic["frame_macc"],
        "mCov": coverage["mean"],
        "mWCov": coverage["weighted"],
        "precision": coverage["precision"],
        "recall": coverage["recall"],
        "AP": precision["ap"],
        "AP50": precision["ap50"],
        "AP25": precision["ap25"],
        "PQ at boundaries": scene["boundary"]["pq"] if scene["boundary"] else None,
        "F-score at 5 cm": scene["geometry"]["thresholds"]["0.05"]["f_score"] if scene["geometry"] else None,
    }
    defined = {name: value for name, value in values.items() if value is not None}
    return _table(list(defined), [[percent(value) for value in defined.values()]])


def _scripts(scene: Scores) -> list[str]:
    """What released scripts print beside their panoptic quality."""
    scripts = {name: scores["script"] for name, scores in scene["protocols"].items() if scores["script"]}
    rows = [
        [f"`{name}`", *map(percent, (*script["coverage"].values(), script["frame_miou"], script["frame_macc"]))]
        for name, script in scripts.items()
    ]
    head = ["as its script prints", "mCov", "mWCov", "mPrec", "mRec", "mIoU of frames", "mAcc of frames"]
    return [_table(head, rows)] if rows else []


def _views(scene: Scores) -> list[str]:
    """Similarity of the field's renderings to the frames held out of its training."""
    views = scene["views"]
    if views is None:
        return []
    row = [str(views["frames"]), _decimal(views["psnr"], 2), _decimal(views["ssim"], 3), percent(views["depth_l1"])]
    return [_table(["held-out frames", "PSNR, dB", "SSIM", "depth L1, cm"], [row])]


def _unknown(scene: Scores) -> list[str]:
    """A sentence on the objects without a name, and on those that no prompt names."""
    counts = scene["unknown"]
    if counts is None or not (counts["predicted"] or counts["left_out"]):
        return []
    left_out = f"; {counts['found']} of {counts['left_out']} objects of classes that were not asked for are found"
    return [
        f"Objects without a name: {counts['predicted']}, of which {counts['false']} are no true object and "
        f"{counts['ignored']} lie on void{left_out if counts['left_out'] else ''}."
    ]


def _decimal(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _missing_geometry(scene: Scores) -> str:
    if scene["uncovered"] is None:
        return ""
    return f" (missing geometry: {percent(scene['uncovered'])} %)"


def _total_table(record: Scores) -> str:
    headline = record["protocols"][0]
    rows = [
        [name, *_means(scene, headline), percent(scene["semantic"]["miou"]), percent(scene["void"])]
        for name, scene in record["scenes"].items()
    ]
    total = record["total"]
    mean = total["protocols"][headline]["scene_mean"]
    rows.append(["mean of scenes", *(percent(mean[name]) for name in MEANS), "", ""])
    rows.append(["statistics added", *_means(total, headline), percent(total["semantic"]["miou"]), ""])
    sentence = _interval_sentence(total["protocols"][headline]["interval"]["pq"], record, "scenes")
    title = f"All scenes, protocol `{headline}`, per cent"
    return f"{title}\n\n{_table(['scene', *COLUMNS, 'mIoU', 'void rate'], rows)}\n\n{sentence}".strip()


def _interval_sentence(interval: Sequence[float] | None, record: Scores, over: str) -> str:
    level = f"{100 * record['settings']['level']:g} %"
    return f"{level} interval of PQ over {over}: {percent(interval[0])} to {percent(interval[1])}." if interval else ""


def _means(scores: Scores, protocol: str) -> Iterable[str]:
    return (percent(scores["protocols"][protocol]["mean"][name]) for name in MEANS)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """A name on one line, its bars and what HTML would take for its own escaped."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", r"\|")

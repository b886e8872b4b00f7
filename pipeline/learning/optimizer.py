"""What both stages' trainings have in common: options, optimizer, learning rate schedule. Pure torch."""

import math

from garment_keypoints.pipeline.learning.options import TrainOptions
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR


def build_optimizer(
    network: nn.Module, backbone: nn.Module, options: TrainOptions, total_steps: int
) -> tuple[AdamW, LambdaLR]:
    """Build AdamW with a smaller rate for the network's backbone, and the schedule, to be stepped after every step."""
    inner = {id(p) for p in backbone.parameters()}
    rest = [p for p in network.parameters() if id(p) not in inner]
    groups = []
    for parameters, lr in ((backbone.parameters(), options.lr * options.backbone_lr_factor), (rest, options.lr)):
        trained = [p for p in parameters if p.requires_grad]
        # Biases and normalisation are vectors; decaying them only shrinks the activations (He et al., 2019, 1812.01187).
        groups.append({"params": [p for p in trained if p.ndim > 1], "lr": lr, "weight_decay": options.weight_decay})
        groups.append({"params": [p for p in trained if p.ndim <= 1], "lr": lr, "weight_decay": 0.0})
    # On GPUs torch joins the tensors of a group by itself; on CPUs only its fused kernel does, whose gradients Lightning
    # refuses to clip in mixed precision.
    on_cpu = all(p.device.type == "cpu" for p in network.parameters())
    fused = on_cpu and not options.precision.endswith("-mixed")
    optimizer = AdamW([group for group in groups if group["params"]], fused=fused or None)
    warmup = max(1, round(options.warmup * total_steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))

    return optimizer, LambdaLR(optimizer, factor)

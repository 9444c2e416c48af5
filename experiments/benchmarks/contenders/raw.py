"""Raw: the loop that anyone would write with PyTorch, transformers and peft."""

from __future__ import annotations

import torch
from chats import collate, encode, load_model
from meter import BATCH, CLIP, RATE, Meter, arguments
from torch.utils.data import DataLoader


def main() -> None:
    """Train one epoch."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    meter = Meter(args.warmup)
    model = load_model(args.work).train()
    meter.model(model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0)
    for batch in DataLoader(encode(args.work), BATCH, shuffle=True, collate_fn=collate, drop_last=True):  # type: ignore[arg-type]
        meter.batch(batch)
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        optimizer.zero_grad()
        meter.step(loss.item())
    meter.report(["torch", "transformers", "peft"])


if __name__ == "__main__":
    main()

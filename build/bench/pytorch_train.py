"""The same denoiser as lib/attention-unet.ts in PyTorch, for a comparison of training steps in one run.

Reads lines from standard input: "forward", "lora" or "full" runs one pass or step and answers with its wall time in
milliseconds; end of input ends it. Arguments: batch size, threads, rank. Needs torch >= 1.13; attention is written as
products and a softmax, as that version does it, and gradients are left where backward() puts them (no optimiser step).
"""
import math
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

CHANNELS, HEADS, GROUPS, CONTEXT = (64, 128, 256), 8, 32, (77, 256)


class Resample(nn.Module):
    """The convolution between two grids."""

    def __init__(self, c, stride):
        super().__init__()
        self.conv, self.enlarge = nn.Conv2d(c, c, 3, stride=stride, padding=1), stride == 1

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest") if self.enlarge else x)


class Residual(nn.Module):
    def __init__(self, inner, out, width):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, inner), nn.Conv2d(inner, out, 3, padding=1)
        self.time = nn.Linear(width, out)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, out), nn.Conv2d(out, out, 3, padding=1)
        self.skip = nn.Conv2d(inner, out, 1) if inner != out else nn.Identity()

    def forward(self, x, emb):
        y = self.conv1(F.silu(self.norm1(x))) + self.time(emb)[:, :, None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(y)))


class Attention(nn.Module):
    def __init__(self, c, context):
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(n, c, bias=False) for n in (c, context, context))
        self.to_out = nn.Linear(c, c)

    def forward(self, x, context):
        b, n, c = x.shape
        heads = lambda v: v.view(b, -1, HEADS, c // HEADS).transpose(1, 2)
        q, k, v = heads(self.to_q(x)), heads(self.to_k(context)), heads(self.to_v(context))
        p = torch.softmax(q * (c // HEADS) ** -0.5 @ k.transpose(2, 3), -1)
        return self.to_out((p @ v).transpose(1, 2).reshape(b, n, c))


class Transformer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm, self.proj_in = nn.GroupNorm(GROUPS, c), nn.Conv2d(c, c, 1)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(c) for _ in range(3))
        self.attn1, self.attn2 = Attention(c, c), Attention(c, CONTEXT[1])
        self.ff0, self.ff2 = nn.Linear(c, 8 * c), nn.Linear(4 * c, c)
        self.proj_out = nn.Conv2d(c, c, 1)

    def forward(self, x, context):
        b, c, h, w = x.shape
        t = self.proj_in(self.norm(x)).reshape(b, c, h * w).transpose(1, 2)
        n = self.norm1(t)
        t = t + self.attn1(n, n)
        t = t + self.attn2(self.norm2(t), context)
        value, gate = self.ff0(self.norm3(t)).chunk(2, dim=-1)
        t = t + self.ff2(value * F.gelu(gate))
        return x + self.proj_out(t.transpose(1, 2).reshape(b, c, h, w))


class Unet(nn.Module):
    def __init__(self):
        super().__init__()
        width = 4 * CHANNELS[0]
        self.fc1, self.fc2 = nn.Linear(CHANNELS[0], width), nn.Linear(width, width)
        self.conv_in = nn.Conv2d(4, CHANNELS[0], 3, padding=1)
        self.down, self.up, skips, c = nn.ModuleList(), nn.ModuleList(), [CHANNELS[0]], CHANNELS[0]
        for i, out in enumerate(CHANNELS):
            for _ in range(2):
                self.down.append(nn.ModuleList([Residual(c, out, width)] + ([Transformer(out)] if i < 2 else [])))
                c = out
                skips.append(c)
            if i < 2:
                self.down.append(nn.ModuleList([Resample(c, 2)]))
                skips.append(c)
        self.mid = nn.ModuleList([Residual(c, c, width), Transformer(c), Residual(c, c, width)])
        for i in (2, 1, 0):
            out = CHANNELS[i]
            for _ in range(3):
                self.up.append(nn.ModuleList([Residual(c + skips.pop(), out, width)] + ([Transformer(out)] if i < 2 else [])))
                c = out
            if i > 0:
                self.up.append(nn.ModuleList([Resample(c, 1)]))
        self.norm_out, self.conv_out = nn.GroupNorm(GROUPS, c), nn.Conv2d(c, 4, 3, padding=1)

    def forward(self, x, timestep, context):
        half = CHANNELS[0] // 2
        angles = timestep[:, None].float() * torch.exp(-math.log(10000) * torch.arange(half) / half)
        emb = F.silu(self.fc2(F.silu(self.fc1(torch.cat([angles.cos(), angles.sin()], 1)))))

        def block(parts, x):
            x = parts[0](x, emb)
            return parts[1](x, context) if len(parts) > 1 else x

        x = self.conv_in(x)
        skips = [x]
        for parts in self.down:
            x = parts[0](x) if isinstance(parts[0], Resample) else block(parts, x)
            skips.append(x)
        x = self.mid[2](self.mid[1](self.mid[0](x, emb), context), emb)
        for parts in self.up:
            if isinstance(parts[0], Resample):
                x = parts[0](x)
            else:
                x = block(parts, torch.cat([x, skips.pop()], 1))
        return self.conv_out(F.silu(self.norm_out(x)))


class Adapted(nn.Module):
    """A frozen layer with a trained low-rank path beside it."""

    def __init__(self, base, rank):
        super().__init__()
        self.base = base
        if isinstance(base, nn.Conv2d):
            self.down = nn.Conv2d(base.in_channels, rank, base.kernel_size, base.stride, base.padding, bias=False)
            self.up = nn.Conv2d(rank, base.out_channels, 1, bias=False)
        else:
            self.down = nn.Linear(base.in_features, rank, bias=False)
            self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


def adapt(module, rank):
    for name, child in module.named_children():
        if isinstance(child, (nn.Linear, nn.Conv2d)):
            setattr(module, name, Adapted(child, rank))
        else:
            adapt(child, rank)


def main(batch, threads, rank):
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    x, target = torch.randn(2, batch, 4, 32, 32)
    inputs = (x, torch.arange(batch) * 37 + 400, torch.randn(batch, *CONTEXT))
    full = Unet()
    lora = Unet()
    for p in lora.parameters():
        p.requires_grad_(False)
    adapt(lora, rank)

    def step(net):
        net.zero_grad(set_to_none=True)
        F.mse_loss(net(*inputs), target).backward()

    def forward():
        with torch.no_grad():
            full(*inputs)

    work = {"forward": forward, "lora": lambda: step(lora), "full": lambda: step(full)}
    print(sum(p.numel() for p in full.parameters()), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        work[line.strip()]()
        print((time.perf_counter() - start) * 1000, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

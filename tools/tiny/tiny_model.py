# SPDX-License-Identifier: MIT
"""A small Llama for training: the layers and names of the Hugging Face layout, nothing else."""
import torch
import torch.nn.functional as F
from torch import nn

SHAPE = {
    "vocab_size": 768,
    "hidden_size": 96,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
}


def rotate(x, cos, sin):
    """Rotary positions, first half of a head against the second."""
    one, two = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-two, one), dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.heads, self.kv_heads = s["num_attention_heads"], s["num_key_value_heads"]
        self.dim = s["hidden_size"] // self.heads
        self.q_proj = nn.Linear(s["hidden_size"], self.heads * self.dim, bias=False)
        self.k_proj = nn.Linear(s["hidden_size"], self.kv_heads * self.dim, bias=False)
        self.v_proj = nn.Linear(s["hidden_size"], self.kv_heads * self.dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.dim, s["hidden_size"], bias=False)

    def forward(self, x, cos, sin):
        rows, length, _ = x.shape
        q = rotate(self.q_proj(x).view(rows, length, self.heads, self.dim).transpose(1, 2), cos, sin)
        k = rotate(self.k_proj(x).view(rows, length, self.kv_heads, self.dim).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(rows, length, self.kv_heads, self.dim).transpose(1, 2)
        group = self.heads // self.kv_heads
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(rows, length, -1))


class Mlp(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.gate_proj = nn.Linear(s["hidden_size"], s["intermediate_size"], bias=False)
        self.up_proj = nn.Linear(s["hidden_size"], s["intermediate_size"], bias=False)
        self.down_proj = nn.Linear(s["intermediate_size"], s["hidden_size"], bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(s["hidden_size"], eps=s["rms_norm_eps"])
        self.self_attn = Attention(s)
        self.post_attention_layernorm = nn.RMSNorm(s["hidden_size"], eps=s["rms_norm_eps"])
        self.mlp = Mlp(s)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class TinyLlama(nn.Module):
    """Logits for every position; the output matrix is the embedding."""

    def __init__(self, s):
        super().__init__()
        self.embed_tokens = nn.Embedding(s["vocab_size"], s["hidden_size"])
        self.layers = nn.ModuleList(Layer(s) for _ in range(s["num_hidden_layers"]))
        self.norm = nn.RMSNorm(s["hidden_size"], eps=s["rms_norm_eps"])
        dim = s["hidden_size"] // s["num_attention_heads"]
        rates = s["rope_theta"] ** (-torch.arange(0, dim, 2).float() / dim)
        turns = torch.outer(torch.arange(s["max_position_embeddings"]).float(), rates).repeat(1, 2)
        self.register_buffer("cos", turns.cos(), persistent=False)
        self.register_buffer("sin", turns.sin(), persistent=False)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=p.shape[1] ** -0.5)
        nn.init.normal_(self.embed_tokens.weight, std=0.05)

    def forward(self, ids):
        x = self.embed_tokens(ids)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x, cos, sin)
        return F.linear(self.norm(x), self.embed_tokens.weight)

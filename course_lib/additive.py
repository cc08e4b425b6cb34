"""Attention as Bahdanau, Cho and Bengio introduced it, and a recurrent decoder that looks back at the whole source.

The query is the decoder's state, the keys are the encoder's states, and these are the values as well. A softmax over
the keys makes one row of weights for each output token: the alignment.
"""

import torch
from torch import Tensor, nn

from course_lib.masks import padding_mask
from course_lib.recording import AttentionTap
from course_lib.recurrent import GRUEncoder


def masked_softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Turn the last axis into weights that sum to 1, with nothing for what may not be attended to.

    Args:
        scores: [..., Tk].
        mask: bool, broadcastable to ``scores``; True where attending is allowed. None allows all.

    Returns:
        [..., Tk]. A row in which nothing is allowed is zeros, and so is its gradient.
    """
    if mask is None:
        return scores.softmax(dim=-1)
    # The lowest finite score instead of -inf: a row in which nothing is allowed would turn into NaN.
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1).masked_fill(~mask, 0.0)


def additive_scores(query: Tensor, keys: Tensor, w_q: Tensor, w_k: Tensor, v: Tensor) -> Tensor:
    """How well each key fits the query: e_j = vᵀ tanh(W_q q + W_k k_j)  (Bahdanau et al. 2015, §A.1.2).

    The hyperbolic tangent is essential: without it the query would add the same number to all scores of its row, and
    the softmax would cancel it.

    Args:
        query: [B, Dq], one for each sentence.
        keys: [B, Tk, Dk].
        w_q: [Dq, Da].
        w_k: [Dk, Da].
        v: [Da].

    Returns:
        [B, Tk].
    """
    return score_projected(query @ w_q, keys @ w_k, v)


def score_projected(query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
    """``additive_scores`` of what has been projected: query [B, Da], keys [B, Tk, Da] -> [B, Tk]."""
    return torch.tanh(query.unsqueeze(1) + keys) @ v  # [B, 1, Da] + [B, Tk, Da] -> [B, Tk, Da] -> [B, Tk]


def dot_scores(query: Tensor, keys: Tensor) -> Tensor:
    """Dot products, for query and keys of the same width: e_j = qᵀ k_j  (Luong et al. 2015, §3.1, "dot").

    Args:
        query: [B, D].
        keys: [B, Tk, D].

    Returns:
        [B, Tk].
    """
    return (keys @ query.unsqueeze(-1)).squeeze(-1)  # [B, Tk, D] @ [B, D, 1] -> [B, Tk]


def general_scores(query: Tensor, keys: Tensor, w: Tensor) -> Tensor:
    """Dot products through a learned matrix: e_j = qᵀ W k_j  (Luong et al. 2015, §3.1, "general").

    Args:
        query: [B, Dq].
        keys: [B, Tk, Dk].
        w: [Dq, Dk].

    Returns:
        [B, Tk].
    """
    return dot_scores(query @ w, keys)


class AdditiveAttention(nn.Module):
    """One query looks at all keys by ``additive_scores`` and takes the weighted sum of them: the context.

    c = sum_j α_j k_j with α = softmax(e)  (Bahdanau et al. 2015, eq. 5 and 6). The paper calls w_q, w_k and v
    W_a, U_a and v_a; it has no biases.

    Args:
        d_query: width of the query (Dq).
        d_keys: width of a key (Dk).
        d_attention: width in which both are compared (Da).
    """

    def __init__(self, d_query: int, d_keys: int, d_attention: int) -> None:
        super().__init__()
        self.w_q = nn.Parameter(torch.empty(d_query, d_attention))
        self.w_k = nn.Parameter(torch.empty(d_keys, d_attention))
        self.v = nn.Parameter(torch.empty(d_attention))
        for weight in self.parameters():
            nn.init.normal_(weight, std=len(weight) ** -0.5)
        self.tap = AttentionTap()

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """The context [B, Dk] of ``query`` [B, Dq] in ``keys`` [B, Tk, Dk]; ``mask`` bool [B, Tk], True = may.

        A query that may attend to nothing gets zeros.
        """
        weights = self.weights(query, self.project(keys), mask)
        self.tap.record(weights[:, None, None])  # [B, 1, 1, Tk]
        return blend(weights, keys)

    def project(self, keys: Tensor) -> Tensor:
        """What does not depend on the query: computed once for a sentence, not again at each step. [B, Tk, Da]."""
        return keys @ self.w_k

    def weights(self, query: Tensor, projected: Tensor, mask: Tensor | None = None) -> Tensor:
        """α of ``query`` [B, Dq] over keys that went through ``project``: [B, Tk], rows summing to 1."""
        return masked_softmax(score_projected(query @ self.w_q, projected, self.v), mask)


def blend(weights: Tensor, values: Tensor) -> Tensor:
    """The weighted sum of the values: weights [B, Tk], values [B, Tk, D] -> [B, D]."""
    return (weights.unsqueeze(1) @ values).squeeze(1)  # [B, 1, Tk] @ [B, Tk, D] -> [B, 1, D] -> [B, D]


class AttentionDecoder(nn.Module):
    """A GRU that looks at the source before each token that it writes (Bahdanau et al. 2015, §3.1 and §A.2.2).

    For each output token i, with the embedding e of the token before:

        α_i = softmax_j(a(s_{i-1}, h_j)),  c_i = sum_j α_ij h_j,
        s_i = GRU([e; c_i], s_{i-1}),  logits = W [s_i; c_i; e] + b.

    Here the output is one linear map, where the paper has a maxout layer before it.

    Args:
        vocab_size: of the target (V).
        d_model: width of embeddings, states and memory (D).
        pad_id: the id of padding.
    """

    def __init__(self, vocab_size: int, d_model: int, pad_id: int = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model, padding_idx=pad_id)
        self.start = nn.Linear(d_model, d_model)
        self.cross_attention = AdditiveAttention(d_model, d_model, d_model)
        self.cell = nn.GRUCell(2 * d_model, d_model)
        self.output = nn.Linear(3 * d_model, vocab_size)

    def forward(self, target_in: Tensor, memory: Tensor, last: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits [B, Tt, V] for the token after each of ``target_in`` [B, Tt].

        Args:
            target_in: ids; the token at i is read when the one at i is written, so it begins with a start mark.
            memory: the encoder's states, [B, Ts, D].
            last: the encoder's last state [B, D], from which the decoder starts: s_0 = tanh(W last).
            mask: bool [B, Ts], True where ``memory`` may be attended to. None allows all.
        """
        embedded = self.embedding(target_in)  # [B, Tt, D]
        projected = self.cross_attention.project(memory)  # [B, Ts, Da]
        state = torch.tanh(self.start(last))  # [B, D]
        states, contexts, alignment = [], [], []
        for token in embedded.unbind(1):  # [B, D]
            weights = self.cross_attention.weights(state, projected, mask)  # [B, Ts]
            context = blend(weights, memory)  # [B, D]
            state = self.cell(torch.cat([token, context], dim=-1), state)  # [B, D]
            states.append(state)
            contexts.append(context)
            alignment.append(weights)
        self.cross_attention.tap.record(torch.stack(alignment, dim=1)[:, None])  # [B, 1, Tt, Ts]
        seen = torch.cat([torch.stack(states, dim=1), torch.stack(contexts, dim=1), embedded], dim=-1)  # [B, Tt, 3D]
        return self.output(seen)


class AttentionSeq2Seq(nn.Module):
    """A recurrent encoder-decoder with additive attention: ``BottleneckSeq2Seq`` without the bottleneck.

    The encoder reads in one direction; that of Bahdanau et al. 2015 (§3.2) reads in both. ``record_attention``
    collects the alignment as "decoder.cross_attention", [B, 1, Tt, Ts].

    Args:
        source_vocab: number of source tokens.
        target_vocab: number of target tokens (V).
        d_model: width of embeddings and states (D).
        pad_id: the id of padding, which stands on the right of a source and gets no weight.
    """

    def __init__(self, source_vocab: int, target_vocab: int, d_model: int, pad_id: int = 0) -> None:
        super().__init__()
        self.encoder = GRUEncoder(source_vocab, d_model, pad_id)
        self.decoder = AttentionDecoder(target_vocab, d_model, pad_id)

    def forward(self, source: Tensor, target_in: Tensor) -> Tensor:
        """Logits [B, Tt, V]: ``source`` [B, Ts] is read, ``target_in`` [B, Tt] is what has been written so far."""
        memory, last = self.encoder(source)  # [B, Ts, D], [B, D]
        return self.decoder(target_in, memory, last, padding_mask(source, self.encoder.pad_id)[:, 0, 0])

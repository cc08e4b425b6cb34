# ruff: noqa: E501
"""Answers as learners might write them, none of them in the bank: right ones, and wrong ones as a change of a right one."""

HEAD = "import math, torch\nimport torch.nn.functional as F\nfrom torch import nn\nfrom functools import partial\n"
RIGHT = {
    "masked_softmax": [
        "def masked_softmax(s, m):\n    if m is None:\n        return F.softmax(s, -1)\n    return F.softmax(s.masked_fill(~m, -1e9), -1) * m",
        "def masked_softmax(s, m=None):\n    m = torch.ones_like(s, dtype=torch.bool) if m is None else m\n    s = s.masked_fill(~m, float('-inf'))\n    top = s.max(-1, keepdim=True).values.detach()\n    e = torch.exp(s - torch.where(torch.isinf(top), torch.zeros_like(top), top))\n    total = e.sum(-1, keepdim=True)\n    return e / torch.where(total == 0, torch.ones_like(total), total)",
        "def masked_softmax(s, m):\n    if m is None:\n        m = torch.tensor(True)\n    w = torch.softmax(torch.where(m, s, torch.tensor(-1e30, dtype=s.dtype)), dim=-1)\n    return torch.where(m, w, torch.zeros((), dtype=s.dtype))",
        "def masked_softmax(s, m):\n    if m is None:\n        return torch.exp(s.log_softmax(-1))\n    nobody = ~m.any(-1, keepdim=True)\n    return s.masked_fill(~(m | nobody), -math.inf).softmax(-1).masked_fill(nobody, 0)",
        "def masked_softmax(s, m):\n    s = s.movedim(-1, 0)\n    m = torch.ones_like(s).bool() if m is None else m.expand(s.movedim(0, -1).shape).movedim(-1, 0)\n    s = s.masked_fill(~m, torch.finfo(s.dtype).min)\n    e = torch.exp(s - s.amax(0)) * m\n    return (e / (e.sum(0) + (e.sum(0) == 0))).movedim(0, -1)",
        "class M:\n    def __call__(self, scores, mask):\n        penalty = 0 if mask is None else torch.zeros(mask.shape, dtype=scores.dtype).masked_fill(~mask, -1e20)\n        w = nn.Softmax(-1)(scores + penalty)\n        return w if mask is None else w * mask.to(w.dtype)\nmasked_softmax = M()",
    ],
    "additive_scores": [
        "def additive_scores(q, k, a, b, v):\n    return torch.einsum('bta,a->bt', torch.tanh((q @ a).unsqueeze(1) + k @ b), v)",
        "def additive_scores(q, k, a, b, v):\n    h = F.linear(q, a.T)[:, None, :] + F.linear(k, b.T)\n    return F.linear(h.tanh(), v[None]).squeeze(-1)",
        "def additive_scores(q, k, a, b, v):\n    return torch.stack([torch.tanh(q[i] @ a + k[i] @ b).mv(v) for i in range(len(q))])",
        "def additive_scores(q, k, a, b, v):\n    x = (q @ a).repeat_interleave(k.size(1), 0) + k.flatten(0, 1) @ b\n    e = torch.exp(2 * x.clamp(-40, 40))\n    return (((e - 1) / (e + 1)) @ v).view(k.shape[:2])",
        "additive_scores = lambda q, k, a, b, v: (v * (2 * torch.sigmoid(2 * (q.matmul(a)[:, None] + k.matmul(b))) - 1)).sum(2)",
        "def additive_scores(q, k, a, b, v):\n    return torch.bmm(torch.tanh((q @ a)[:, None] + k @ b), v.expand(len(k), -1)[..., None])[..., 0]",
    ],
    "spot_the_bug_02": [
        "def spot_the_bug_02(states, memory, w_q, w_k, v):\n    hidden = torch.tanh((states @ w_q)[:, None] + memory @ w_k)\n    scores = hidden @ v\n    weights = scores.softmax(-1)\n    return weights @ memory",
        "def spot_the_bug_02(s, h, a, b, v):\n    e = torch.exp(((s @ a)[:, None] + (h @ b)[None]).tanh() @ v)\n    return (e[..., None] * h).sum(1) / e.sum(1, keepdim=True)",
        "def spot_the_bug_02(s, h, a, b, v):\n    rows = []\n    for one in s:\n        w = F.softmax(torch.tanh(one @ a + h @ b) @ v, dim=0)\n        rows.append(sum(w[j] * h[j] for j in range(len(h))))\n    return torch.stack(rows)",
    ],
    "softmax": [
        "softmax = nn.Softmax(dim=-1)",
        "softmax = partial(torch.softmax, dim=-1)",
        "softmax = lambda scores, /: F.softmax(scores.double(), -1).to(scores.dtype)",
        "def softmax(z):\n    z = z - z.max(dim=-1, keepdim=True).values.detach()\n    e = torch.exp(z)\n    return e / torch.sum(e, dim=-1, keepdim=True)",
        "class S:\n    def __call__(self, x):\n        m = x.max(-1, keepdim=True)[0]\n        return torch.exp(x - m - torch.log(torch.exp(x - m).sum(-1, keepdim=True)))\nsoftmax = S()",
        "def softmax(x):\n    y = x.flatten(0, -2) if x.dim() > 1 else x[None]\n    y = torch.exp(y - torch.max(y, 1, True)[0])\n    return torch.einsum('ij,i->ij', y, 1 / y.sum(1)).reshape(x.shape)",
        "def softmax(x):\n    x = x.movedim(-1, 0)\n    e = torch.exp(x - x.amax(0))\n    return (e / e.sum(0)).movedim(0, -1)",
    ],
    "causal_mask": [
        "def causal_mask(a, b):\n    i = torch.arange(a)[:, None]\n    return torch.arange(b)[None] - i <= b - a",
        "causal_mask = lambda q, k: torch.triu(torch.full((q, k), 1.0), diagonal=k - q + 1) == 0",
        "def causal_mask(q, k):\n    return torch.tensor([[j <= i + k - q for j in range(k)] for i in range(q)], dtype=torch.bool)",
        "def causal_mask(q, k):\n    n = max(q, k)\n    return torch.tril(torch.ones(n, n, dtype=torch.bool))[n - q:, n - k:]",
        "def causal_mask(q, k):\n    m = torch.full((q, k), float('-inf'))\n    return torch.triu(m, k - q + 1).eq(0)",
    ],
    "padding_mask": [
        "padding_mask = lambda i, p: (i != p).view(i.size(0), 1, 1, i.size(1))",
        "def padding_mask(ids, pad):\n    return torch.tensor([[[[t != pad for t in row]]] for row in ids.tolist()])",
        "def padding_mask(ids, pad):\n    return ~torch.isin(ids, torch.tensor([pad]))[:, None, None, :]",
        "def padding_mask(ids, pad):\n    return ((ids - pad).abs() > 0).unsqueeze(-2).unsqueeze(-2)",
    ],
    "scaled_dot_product_attention": [
        "scaled_dot_product_attention = F.scaled_dot_product_attention",
        "def scaled_dot_product_attention(q, k, v, mask=None):\n    s = torch.matmul(q, k.transpose(-2, -1)) / q.size(-1) ** 0.5\n    if mask is not None:\n        s = s.masked_fill(mask == 0, -1e9)\n    p = F.softmax(s, dim=-1)\n    if mask is not None:\n        p = p * mask\n    return p @ v",
        "def scaled_dot_product_attention(q, k, v, mask=None):\n    s = q @ k.mT * (1 / math.sqrt(k.shape[-1]))\n    if mask is not None:\n        s = torch.where(mask, s, torch.tensor(float('-inf'), dtype=s.dtype))\n        empty = ~mask.any(-1, keepdim=True)\n        s = s.masked_fill(empty, 0.0)\n        return s.softmax(-1).masked_fill(empty, 0.0) @ v\n    return s.softmax(-1) @ v",
        "def scaled_dot_product_attention(q, k, v, mask=None):\n    s = torch.einsum('...qd,...kd->...qk', q / q.shape[-1] ** 0.5, k)\n    m = torch.ones_like(s, dtype=torch.bool) if mask is None else torch.broadcast_to(mask, s.shape)\n    s = s.masked_fill(~m, -torch.inf)\n    top = s.amax(-1, keepdim=True).clamp(min=torch.finfo(s.dtype).min)\n    e = torch.exp(s - top.detach())\n    return (e @ v) / e.sum(-1, keepdim=True).clamp(min=1e-30)",
        "def softmax(x):\n    e = (x - x.amax(-1, keepdim=True)).exp()\n    return e / e.sum(-1, keepdim=True)\ndef scaled_dot_product_attention(q, k, v, mask=None):\n    lead = q.shape[:-2]\n    Q, K, V = (x.reshape(-1, *x.shape[-2:]) for x in (q, k, v))\n    s = torch.bmm(Q, K.transpose(1, 2)).div(Q.shape[-1] ** 0.5).view(*lead, q.shape[-2], k.shape[-2])\n    if mask is not None:\n        s = s + torch.where(mask, 0.0, -1e30).to(s.dtype)\n    a = softmax(s)\n    if mask is not None:\n        a = torch.where(mask, a, 0)\n    return torch.bmm(a.view(-1, *a.shape[-2:]), V).view(*lead, q.shape[-2], -1)",
        "def scaled_dot_product_attention(q, k, v, mask=None):\n    if mask is None:\n        mask = torch.ones(1, 1, dtype=torch.bool)\n    s = (q[..., :, None, :] * k[..., None, :, :]).sum(-1) / math.sqrt(q.shape[-1])\n    w = torch.nan_to_num(torch.softmax(s.masked_fill(~mask, -math.inf), -1))\n    return (w[..., None] * v[..., None, :, :]).sum(-2)",
    ],
    "spot_the_bug_03": [
        "def spot_the_bug_03(x, w_q, w_k, w_v):\n    query, key, value = x @ w_q, x @ w_k, x @ w_v\n    scores = query @ key.transpose(-2, -1) / math.sqrt(key.shape[-1])\n    total = scores.exp().sum(dim=-1, keepdim=True)\n    weights = scores.exp() / total\n    return weights @ value",
        "def spot_the_bug_03(x, q, k, v):\n    return F.scaled_dot_product_attention(x @ q, x @ k, x @ v)",
    ],
    "greedy_decode": [
        "def greedy_decode(step, bos_id, eos_id, max_len):\n    ids = [bos_id]\n    for _ in range(max_len):\n        ids = ids + [step(ids).softmax(0).topk(1)[1].item()]\n        if ids[-1] == eos_id: return ids[1:]\n    return ids[1:]",
        "def greedy_decode(step, bos, eos, n, so_far=()):\n    if n == 0: return []\n    t = max(enumerate(step([bos, *so_far]).tolist()), key=lambda x: x[1])[0]\n    return [t] if t == eos else [t] + greedy_decode(step, bos, eos, n - 1, (*so_far, t))",
        "class G:\n    def __call__(self, step, bos_id, eos_id, max_len):\n        ids, step_ids = [], [bos_id]\n        while len(ids) < max_len and (not ids or ids[-1] != eos_id):\n            ids.append(torch.sort(step(step_ids), descending=True).indices[0].item())\n            step_ids.append(ids[-1])\n        return ids\ngreedy_decode = G()",
    ],
    "beam_search": [
        "import numpy as np\ndef beam_search(step, bos, eos, k, n, a):\n    live, pool = [(0.0, ())], []\n    for t in range(1, n + 1):\n        cand = []\n        for s, ids in live:\n            z = np.array(step([bos, *ids]).tolist())\n            z = z - z.max(); z = z - np.log(np.exp(z).sum())\n            cand.extend((s + float(z[i]), ids + (i,)) for i in np.argsort(-z)[:k].tolist())\n        cand = sorted(cand, key=lambda c: c[0])[::-1][:k]\n        pool += [(s / t ** a, ids) for s, ids in cand if ids[-1] == eos or t == n]\n        live = [c for c in cand if c[1][-1] != eos]\n        if not live: break\n    return list(max(pool)[1])",
        "def beam_search(step, bos, eos, k, n, a):\n    paths = {(): 0.0}\n    ended = {}\n    while paths and len(next(iter(paths))) < n:\n        more = {(*ids, t): s + lp for ids, s in paths.items() for t, lp in enumerate(F.log_softmax(step([bos, *ids]), dim=0).tolist())}\n        best = dict(sorted(more.items(), key=lambda x: x[1], reverse=True)[:k])\n        ended.update({i: s for i, s in best.items() if i[-1] == eos})\n        paths = {i: s for i, s in best.items() if i[-1] != eos}\n    ended.update(paths)\n    return list(max(ended, key=lambda i: ended[i] / len(i) ** a))",
        "def beam_search(step, bos, eos, k, n, a):\n    # -log p, lowest first\n    live, done = [([bos], torch.tensor(0.0))], []\n    for _ in range(n):\n        rows = torch.stack([c - step(ids).log_softmax(-1) for ids, c in live])\n        costs, at = rows.reshape(-1).sort()\n        new = [(live[int(i) // rows.shape[1]][0] + [int(i) % rows.shape[1]], c) for c, i in zip(costs[:k], at[:k])]\n        live = []\n        for h in new:\n            (done if h[0][-1] == eos else live).append(h)\n        if not live: break\n    return min(done + live, key=lambda h: h[1].item() / (len(h[0]) - 1) ** a)[0][1:]",
    ],
    "top_p_filter": [
        "def top_p_filter(q, p):\n    v, i = q.sort(descending=True)\n    drop = v.cumsum(-1) - v >= p\n    v = v.masked_fill(drop, 0.0)\n    return torch.empty_like(q).scatter_(0, i, v / v.sum())",
        "def top_p_filter(q, p):\n    out, left = [0.0] * len(q), p\n    for i in q.argsort(descending=True).tolist():\n        if left <= 0: break\n        out[i] = q[i].item(); left -= out[i]\n    t = torch.tensor(out, dtype=q.dtype)\n    return t / t.sum()",
        "import numpy as np\ndef top_p_filter(q, p):\n    a = q.numpy().copy()\n    o = np.argsort(-a)\n    n = np.searchsorted(np.cumsum(a[o]), p) + 1\n    a[o[n:]] = 0\n    return torch.from_numpy(a / a.sum()).to(q.dtype)",
        "top_p_filter = lambda q, p: (lambda k: k / k.sum())(q * (q[None].masked_fill(q[None] <= q[:, None], 0).sum(1) < p))",
    ],
    "bleu": [
        "from collections import Counter\ndef bleu(hyps, refs):\n    def grams(s, n): return Counter(zip(*[s[i:] for i in range(n)]))\n    ps = []\n    for n in range(1, 5):\n        m = sum(sum((grams(h, n) & grams(r, n)).values()) for h, r in zip(hyps, refs))\n        t = sum(sum(grams(h, n).values()) for h in hyps)\n        ps.append(m / t if t else 0.0)\n    if not all(ps): return 0.0\n    c, r = sum(map(len, hyps)), sum(map(len, refs))\n    return 100.0 * min(1.0, math.exp(1 - r / c)) * math.prod(ps) ** 0.25",
        "def bleu(hyps, refs):\n    import sacrebleu\n    if not hyps: return 0.0\n    m = sacrebleu.metrics.BLEU(tokenize='none', smooth_method='none', force=True)\n    return m.corpus_score([' '.join(h) for h in hyps], [[' '.join(r) for r in refs]]).score",
        "import numpy as np\ndef bleu(H, R):\n    m, t = np.zeros(4), np.zeros(4)\n    for h, r in zip(H, R):\n        for n in range(4):\n            pool = [r[i:i + n + 1] for i in range(len(r) - n)]\n            for i in range(len(h) - n):\n                t[n] += 1\n                if h[i:i + n + 1] in pool:\n                    pool.remove(h[i:i + n + 1]); m[n] += 1\n    if (m == 0).any(): return 0.0\n    c, r = sum(len(h) for h in H), sum(len(x) for x in R)\n    return float(100 * np.exp(np.log(m / t).mean() + min(0, 1 - r / c)))",
    ],
    "spot_the_bug_10": [
        "def spot_the_bug_10(model, source, bos_id, eos_id, max_len):\n    result = []\n    for s in source:\n        ids = [bos_id]\n        while len(ids) <= max_len:\n            ids.append(model(s[None], torch.tensor([ids]))[0, -1].argmax().item())\n            if ids[-1] == eos_id: break\n        result.append(ids[1:])\n    return result",
        "@torch.inference_mode()\ndef spot_the_bug_10(model, source, bos_id, eos_id, max_len):\n    y = source.new_full((len(source), max_len + 1), bos_id)\n    for t in range(max_len):\n        y[:, t + 1] = model(source, y)[:, t].argmax(-1)\n    out = y[:, 1:].tolist()\n    return [o[:o.index(eos_id) + 1] if eos_id in o else o for o in out]",
    ],
}
ATTENTION = """
def scaled_dot_product_attention(q, k, v, mask=None):
    s = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, -torch.inf)
    a = s.softmax(-1)
    if mask is not None:
        a = a.masked_fill(~mask.any(-1, keepdim=True), 0.0)
    return a @ v
"""
SOFTMAX = """
def softmax(x):
    e = (x - x.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)
"""
SELF_ATTENTION = """
def spot_the_bug_03(x, w_q, w_k, w_v):
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    return (q @ k.mT / math.sqrt(k.shape[-1])).softmax(-1) @ v
"""
CONCEPTS = """
def spot_the_bug_00():
    parts = {"sequence model": ["RNN", "CNN", "Transformer"], "Transformer": ["encoder", "decoder"],
             "encoder": ["self-attention", "feed-forward network"],
             "decoder": ["self-attention", "cross-attention", "feed-forward network"]}
    return [(a, b) for a in parts for b in parts[a]]
"""
GREEDY = """
def greedy_decode(step, bos_id, eos_id, max_len):
    out = []
    for _ in range(max_len):
        token = int(torch.argmax(step([bos_id] + out)))
        out.append(token)
        if token == eos_id:
            break
    return out
"""
BEAM = """
def beam_search(step, bos_id, eos_id, beam_size, max_len, length_penalty):
    beams, done = [([bos_id], 0.0)], []
    for _ in range(max_len):
        grown = []
        for ids, log_p in beams:
            for token, p in enumerate(torch.log_softmax(step(ids), -1).tolist()):
                grown.append((ids + [token], log_p + p))
        grown.sort(key=lambda b: -b[1])
        grown = grown[:beam_size]
        done += [b for b in grown if b[0][-1] == eos_id]
        beams = [b for b in grown if b[0][-1] != eos_id]
        if len(beams) == 0:
            break
    best = max(done + beams, key=lambda b: b[1] / (len(b[0]) - 1) ** length_penalty)
    return best[0][1:]
"""
TOP_P = """
def top_p_filter(probabilities, p):
    values, order = torch.sort(probabilities, descending=True)
    n = int((values.cumsum(0) < p).sum()) + 1
    kept = torch.zeros_like(probabilities)
    kept[order[:n]] = values[:n]
    return kept / kept.sum()
"""
BLEU = """
def bleu(hypotheses, references):
    logs = 0.0
    for n in range(1, 5):
        good = total = 0
        for hyp, ref in zip(hypotheses, references):
            have = [tuple(hyp[i:i + n]) for i in range(len(hyp) - n + 1)]
            want = [tuple(ref[i:i + n]) for i in range(len(ref) - n + 1)]
            total += len(have)
            good += sum(min(have.count(g), want.count(g)) for g in set(have))
        if good == 0:
            return 0.0
        logs += math.log(good / total) / 4
    c, r = sum(map(len, hypotheses)), sum(map(len, references))
    return 100 * math.exp(logs) * (1.0 if c >= r else math.exp(1 - r / c))
"""
BUG_10 = """
def spot_the_bug_10(model, source, bos_id, eos_id, max_len):
    target = torch.full((source.shape[0], 1), bos_id, dtype=torch.long)
    done = torch.zeros(source.shape[0], dtype=torch.bool)
    for _ in range(max_len):
        token = model(source, target)[:, -1, :].argmax(dim=-1)
        target = torch.cat([target, token.unsqueeze(1)], dim=1)
        done |= token == eos_id
        if done.all():
            break
    out = []
    for row in target[:, 1:].tolist():
        out.append(row[:row.index(eos_id) + 1] if eos_id in row else row)
    return out
"""
MASKED = """
def masked_softmax(scores, mask):
    if mask is None:
        return scores.softmax(-1)
    hidden = scores.masked_fill(~mask, -1e9)
    weights = hidden.softmax(-1)
    return weights.masked_fill(~mask, 0.0)
"""
ADDITIVE = """
def additive_scores(query, keys, w_q, w_k, v):
    asked = (query @ w_q)[:, None]
    found = keys @ w_k
    return torch.tanh(asked + found) @ v
"""
BUG_02 = """
def spot_the_bug_02(states, memory, w_q, w_k, v):
    hidden = torch.tanh((states @ w_q)[:, None] + memory @ w_k)
    scores = hidden @ v
    weights = scores.softmax(dim=-1)
    return weights @ memory
"""
WRONG = {
    "spot_the_bug_00": [
        (CONCEPTS, "(a, b)", "(a, 'is made of', b)"),
        (CONCEPTS, "(a, b)", "(b, a)"),
        (CONCEPTS, "(a, b)", "a + b"),
        (CONCEPTS, '"cross-attention", ', ""),
    ],
    "masked_softmax": [
        (MASKED, "-1e9", "-1e3"),
        (MASKED, "-1e9", "scores.min() - 5"),
        (MASKED, "-1e9", "0.0"),
        (MASKED, "return weights.masked_fill(~mask, 0.0)", "return weights"),
        (MASKED, "return weights.masked_fill(~mask, 0.0)", "return weights * mask.any()"),
        (MASKED, "return weights.masked_fill(~mask, 0.0)", "return torch.nan_to_num(weights)"),
        (MASKED, "weights = hidden.softmax(-1)", "weights = hidden.softmax(1)"),
        (MASKED, "weights = hidden.softmax(-1)", "weights = hidden.softmax(-2)"),
        (MASKED, "weights = hidden.softmax(-1)", "weights = hidden.sigmoid()"),
        (MASKED, "weights = hidden.softmax(-1)", "weights = hidden.softmax(-1).detach()"),
        (MASKED, "weights = hidden.softmax(-1)", "weights = (hidden / math.sqrt(hidden.shape[-1])).softmax(-1)"),
        (MASKED, "weights = hidden.softmax(-1)", "weights = hidden.float().softmax(-1)"),
        (MASKED, "weights = hidden.softmax(-1)", "weights = hidden.exp() / (hidden.exp().sum(-1, keepdim=True) + 1e-9)"),
        (MASKED, "weights = hidden.softmax(-1)", "weights = hidden.exp() / hidden.exp().sum(-1, keepdim=True).clamp(min=1)"),
        (MASKED, "scores.masked_fill(~mask", "scores.masked_fill(mask"),
        (MASKED, "scores.masked_fill(~mask", "scores.masked_fill_(~mask"),
        (MASKED, "scores.masked_fill(~mask", "scores.masked_fill(~mask.squeeze()"),
        (MASKED, "scores.masked_fill(~mask", "scores.masked_fill(~mask[:1]"),
        (MASKED, "scores.masked_fill(~mask", "scores.masked_fill(~mask.logical_not_()"),
        (MASKED, "return scores.softmax(-1)", "return scores.softmax(-1).tril()"),
        (MASKED, "return scores.softmax(-1)", "return torch.zeros_like(scores)"),
        (MASKED, "return scores.softmax(-1)", "return scores.exp() / scores.exp().sum(-1, keepdim=True)"),
        (MASKED, "if mask is None:", "if mask is None or not mask.any():"),
        (MASKED, "if mask is None:", "if mask is None or mask.dim() < scores.dim():"),
        (MASKED, "masked_fill(~mask, 0.0)", "masked_fill(~mask, 1e-3)"),
        (MASKED, "return weights.masked_fill(~mask, 0.0)", "return weights.masked_fill(~mask, 0.0).tolist()"),
        (MASKED, "def masked_softmax(scores, mask)", "def masked_softmax(scores)"),
    ],
    "additive_scores": [
        (ADDITIVE, "[:, None]", ""),
        (ADDITIVE, "[:, None]", "[None]"),
        (ADDITIVE, "[:, None]", ".mean(0)"),
        (ADDITIVE, "torch.tanh(asked + found) @ v", "torch.tanh(asked + found).mean(-1)"),
        (ADDITIVE, "torch.tanh(asked + found) @ v", "torch.tanh(asked + found) @ v / len(v)"),
        (ADDITIVE, "torch.tanh(asked + found) @ v", "torch.tanh((asked + found) * v).sum(-1)"),
        (ADDITIVE, "torch.tanh(asked + found) @ v", "torch.tanh(asked + found) @ v.abs()"),
        (ADDITIVE, "torch.tanh(asked + found) @ v", "torch.tanh(asked + found) @ v.detach()"),
        (ADDITIVE, "torch.tanh(asked + found) @ v", "F.hardtanh(asked + found) @ v"),
        (ADDITIVE, "torch.tanh(asked + found) @ v", "F.gelu(asked + found) @ v"),
        (ADDITIVE, "torch.tanh(asked + found) @ v", "(torch.tanh(asked + found) @ v).squeeze()"),
        (ADDITIVE, "torch.tanh(asked + found) @ v", "(torch.tanh(asked + found) @ v).log_softmax(-1)"),
        (ADDITIVE, "torch.tanh(asked + found) @ v", "(torch.tanh(asked + found) @ v)[:, None]"),
        (ADDITIVE, "torch.tanh(asked + found) @ v", "torch.tanh(asked + found) @ v.float()"),
        (ADDITIVE, "torch.tanh(asked + found) @ v", "(torch.tanh(asked + found) @ v).tolist()"),
        (ADDITIVE, "torch.tanh(asked + found) @ v", "torch.tanh(torch.tanh(asked + found)) @ v"),
        (ADDITIVE, "asked + found", "asked + found + 1"),
        (ADDITIVE, "found = keys @ w_k", "found = keys.flip(1) @ w_k"),
        (ADDITIVE, "found = keys @ w_k", "found = keys[:1] @ w_k"),
        (ADDITIVE, "found = keys @ w_k", "keys *= 1.5; found = keys @ w_k / 1.5"),
        (ADDITIVE, "found = keys @ w_k", "found = (keys - keys.mean(1, keepdim=True)) @ w_k"),
        (ADDITIVE, "found = keys @ w_k", "found = F.normalize(keys, dim=-1) @ w_k"),
        (ADDITIVE, "asked = (query", "query = query.detach(); asked = (query"),
        (ADDITIVE, "asked = (query", "asked = torch.tanh(query"),
    ],
    "spot_the_bug_02": [
        (BUG_02, "[:, None]", ""),
        (BUG_02, "[:, None]", "[-1:, None]"),
        (BUG_02, "dim=-1", "dim=0"),
        (BUG_02, "weights @ memory", "(weights @ memory).mean(0)"),
        (BUG_02, "weights @ memory", "weights @ (memory @ w_k)"),
        (BUG_02, "weights @ memory", "weights.T @ states"),
        (BUG_02, "weights @ memory", "memory + weights.mean(0)[:, None]"),
        (BUG_02, "scores.softmax(dim=-1)", "scores / scores.abs().sum(-1, keepdim=True)"),
        (BUG_02, "scores.softmax(dim=-1)", "F.one_hot(scores.argmax(-1), scores.shape[-1]).to(scores.dtype)"),
        (BUG_02, "hidden @ v", "hidden @ v / math.sqrt(len(v))"),
        (BUG_02, "hidden @ v", "hidden.sum(-1)"),
    ],
    "softmax": [
        (SOFTMAX, "    e = ", "    x.data.mul_(1 + 1e-6)\n    e = "),
        (SOFTMAX, "(x - x.amax(-1, keepdim=True))", "x.clamp(-80, 80)"),
        (SOFTMAX, "(x - x.amax(-1, keepdim=True))", "(x - x.mean(-1, keepdim=True))"),
        (SOFTMAX, "x.amax(-1, keepdim=True)", "x.amin(-1, keepdim=True)"),
        (SOFTMAX, ".exp()", ".exp2()"),
        (SOFTMAX, "keepdim=True)\n", "keepdim=True) + 1e-2\n"),
        (SOFTMAX, "    return", "    if x.dim() == 1: e = e[None]\n    return"),
        (SOFTMAX, "    return e", "    return 1.0 * e.squeeze()"),
        (SOFTMAX, "return e / ", "return (e / "),  # a syntax error
        (SOFTMAX, "return", "e ="),
        (SOFTMAX, "return e", "x[x > 100] = 100; return e"),
        (SOFTMAX, "keepdim=True)\n", "keepdim=True).detach()\n"),
        (SOFTMAX, "e = (x", "x = torch.tensor(x.tolist(), dtype=x.dtype); e = (x"),
        (
            SOFTMAX,
            "e = (x",
            "x = x.detach().numpy(); import numpy as np; return np.exp(x) / np.exp(x).sum(-1, keepdims=True); e = (x",
        ),
        (SOFTMAX, "return e / e.sum(-1, keepdim=True)", "return (e / e.sum(-1, keepdim=True)).tolist()"),
        (SOFTMAX, "return e / e.sum(-1, keepdim=True)", "return (e / e.sum(-1, keepdim=True)).double()"),
        (SOFTMAX, "return e / e.sum(-1, keepdim=True)", "return (e / e.sum(-1, keepdim=True)).round(decimals=3)"),
        (
            SOFTMAX,
            "return e / e.sum(-1, keepdim=True)",
            "return (e / e.sum(-1, keepdim=True)) if x.dim() < 4 else x.softmax(0)",
        ),
        (SOFTMAX, "def softmax(x)", "@torch.no_grad()\ndef softmax(x)"),
        (SOFTMAX, "def softmax(x)", "def softmax(x, dim)"),
        (SOFTMAX, "return e / e.sum(-1, keepdim=True)", "return (e / e.sum(-1, keepdim=True)).half().to(x.dtype)"),
    ],
    "causal_mask": [
        ("causal_mask = lambda q, k: torch.ones(q, k).tril(k - q)", "k - q)", "k - q).to(torch.uint8)"),
        ("causal_mask = lambda q, k: torch.ones(q, k).bool().tril(k - q)", "k - q)", "k - q + 1)"),
        ("causal_mask = lambda q, k: torch.ones(q, k).bool().tril(k - q)", "k - q)", "abs(k - q))"),
        ("causal_mask = lambda q, k: torch.ones(q, k).bool().tril(k - q)", "k - q)", "k - q).squeeze()"),
        ("causal_mask = lambda q, k: torch.ones(q, k).bool().tril(k - q)", "k - q)", "k - q).flip(0)"),
        ("causal_mask = lambda q, k: torch.ones(q, k).bool().tril(k - q)", "k - q)", "k - q).tolist()"),
        ("causal_mask = lambda q, k: torch.ones(q, k).bool().tril(k - q)", "k - q)", "k - q).numpy()"),
        (
            "causal_mask = lambda q, k: torch.ones(q, k).bool().tril(k - q)",
            "k - q)",
            "k - q) if q <= k else torch.zeros(q, k).bool()",
        ),
        (
            "causal_mask = lambda q, k: torch.ones(q, k).bool().tril(k - q)",
            "k - q)",
            "k - q) if q > 1 else torch.ones(1, 1).bool()",
        ),
        ("causal_mask = lambda q, k: torch.ones(q, k).bool().tril(k - q)", "q, k).bool", "k, k).bool"),
        ("causal_mask = lambda q, k: torch.ones(q, k).bool().tril(k - q)", "q, k: ", "q, k: 1 / 0 or "),
        ("causal_mask = lambda q, k: torch.ones(q, k).bool().tril(k - q)", "k - q)", "k - q - (q == 1 and k > 5))"),
        ("causal_mask = lambda q, k: torch.ones(q, k).bool().tril(k - q)", "q, k: ", "t: "),
        ("causal_mask = lambda q, k: torch.ones(q, k).bool().tril(k - q)", "q, k: ", "q, k: None and "),
    ],
    "padding_mask": [
        ("padding_mask = lambda i, p: (i != p)[:, None, None]", "i != p", "i.cumsum(1) != p"),
        ("padding_mask = lambda i, p: (i != p)[:, None, None]", "i != p", "i.bool()"),
        ("padding_mask = lambda i, p: (i != p)[:, None, None]", "i != p", "i < p"),
        ("padding_mask = lambda i, p: (i != p)[:, None, None]", "i != p", "(i != p).long()"),
        ("padding_mask = lambda i, p: (i != p)[:, None, None]", "i != p", "i.ne_(p) > 0"),
        ("padding_mask = lambda i, p: (i != p)[:, None, None]", "i != p", "i.clamp_(max=8) != p"),
        ("padding_mask = lambda i, p: (i != p)[:, None, None]", "(i != p)", "(i != p).cummin(1)[0]"),
        (
            "padding_mask = lambda i, p: (i != p)[:, None, None]",
            "None, None]",
            "None, None].expand(-1, 1, i.shape[1], -1)",
        ),
        ("padding_mask = lambda i, p: (i != p)[:, None, None]", "None, None]", "None, None].expand(-1, 2, -1, -1)"),
        ("padding_mask = lambda i, p: (i != p)[:, None, None]", "(i != p)", "(i != p if (i != p).any() else i == p)"),
    ],
    "scaled_dot_product_attention": [
        (ATTENTION, "q.shape[-1]", "q.shape[0]"),
        (ATTENTION, "q.shape[-1]", "64"),
        (ATTENTION, "math.sqrt(q.shape[-1])", "q.norm(dim=-1, keepdim=True)"),
        (ATTENTION, "-torch.inf", "-1e3"),
        (ATTENTION, "-torch.inf", "torch.finfo(torch.float16).min"),
        (ATTENTION, "~mask, -", "~mask.squeeze(), -"),
        (ATTENTION, "s.masked_fill(~mask", "s.masked_fill(~mask.unsqueeze(1)"),
        (ATTENTION, "~mask,", "~mask[..., :1, :],"),
        (ATTENTION, "~mask.any(-1, keepdim=True)", "~mask.any()"),
        (ATTENTION, "~mask.any(-1, keepdim=True), 0.0", "~mask.any(-1, keepdim=True), 1 / k.shape[-2]"),
        (ATTENTION, "if mask is not None:\n        a", "if False:\n        a"),
        (ATTENTION, "s.softmax(-1)", "s.exp() / s.exp().sum(-1, keepdim=True)"),
        (ATTENTION, "s.softmax(-1)", "s.softmax(-1).round(decimals=3)"),
        (ATTENTION, "s.softmax(-1)", "F.dropout(s.softmax(-1), 0.1)"),
        (ATTENTION, "s.softmax(-1)", "s.sigmoid()"),
        (ATTENTION, "return a @ v", "return a @ v + q.mean()"),
        (ATTENTION, "return a @ v", "return a @ v, a"),
        (ATTENTION, "return a @ v", "return (a @ v).squeeze()"),
        (ATTENTION, "return a @ v", "return (a @ v).detach()"),
        (ATTENTION, "return a @ v", "return (a.detach() @ v)"),
        (ATTENTION, "return a @ v", "return (a @ v.detach())"),
        (ATTENTION, "return a @ v", "return (a @ v).contiguous().float()"),
        (ATTENTION, "return a @ v", "v *= 1.5; return a @ v / 1.5"),
        (
            ATTENTION,
            "if mask is not None:\n        s",
            "if mask is not None:\n        mask |= ~mask.any(-1, keepdim=True)\n        s",
        ),
        (
            ATTENTION,
            "if mask is not None:\n        s",
            "if mask is None: mask = torch.ones(s.shape[-2:]).bool().tril()\n    if mask is not None:\n        s",
        ),
        (ATTENTION, "mask=None", "mask"),
        (
            ATTENTION,
            "s = q @ k.transpose(-2, -1)",
            "s = q @ k.transpose(1, 2) if q.dim() == 3 else q @ k.transpose(0, 1)",
        ),
        (ATTENTION, "    a = s", "    s = s + s.mean(-2, keepdim=True)\n    a = s"),
        (ATTENTION, "s = s.masked_fill(~mask, -torch.inf)", "s = s.masked_fill(~mask, -torch.inf).clamp(min=-1e5)"),
        (ATTENTION, "s = s.masked_fill(~mask, -torch.inf)", "s = s + (mask.to(s.dtype)).log()"),
        (ATTENTION, "return a @ v", "return torch.nan_to_num(a @ v) if mask is None or q.dim() < 4 else a @ v * 0"),
    ],
    "spot_the_bug_03": [
        (SELF_ATTENTION, "x @ w_k, x @ w_v", "x @ w_k, x @ w_v + 1"),
        (SELF_ATTENTION, "math.sqrt(k.shape[-1])", "math.sqrt(x.shape[-1])"),
        (SELF_ATTENTION, "@ v", "@ v + v"),
        (SELF_ATTENTION, "q @ k.mT", "k @ q.mT"),
        (SELF_ATTENTION, "(q @ k.mT / math.sqrt(k.shape[-1])).softmax(-1)", "torch.eye(x.shape[-2]).to(x.dtype)"),
        (SELF_ATTENTION, ".softmax(-1) @ v", ".softmax(-1).tril() @ v"),
    ],
}


# --- chapter 04 ---
SINUSOIDS = """
def sinusoidal_encoding(length, d_model):
    pe = torch.zeros(length, d_model)
    pos = torch.arange(length).unsqueeze(1).float()
    div = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log(10000.0) / d_model))
    pe[:, 0::2] = torch.sin(pos * div)
    pe[:, 1::2] = torch.cos(pos * div[: d_model // 2])
    return pe
"""
LEARNED = """
class LearnedPositions(nn.Module):
    def __init__(self, max_len, d_model):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(max_len, d_model))
        nn.init.trunc_normal_(self.table, std=0.02)
    def forward(self, x):
        b, t, d = x.shape
        if t > self.table.size(0):
            raise ValueError(f'{t} > {self.table.size(0)}')
        return x + self.table[None, :t, :]
"""
ROTARY = """
def apply_rotary(x, positions):
    d = x.shape[-1]
    inv = 1.0 / (10000 ** (torch.arange(0, d, 2).float() / d))
    f = torch.outer(positions.float(), inv).repeat_interleave(2, -1).to(x.dtype)
    r = torch.stack([-x[..., 1::2], x[..., ::2]], -1).reshape(x.shape)
    return x * f.cos() + r * f.sin()
"""
ALIBI = """
def alibi_bias(n_heads, t_q, t_k):
    m = 2.0 ** (-8 / n_heads * torch.arange(1, n_heads + 1))
    q = torch.arange(t_k - t_q, t_k)
    return -m.view(-1, 1, 1) * (q.view(-1, 1) - torch.arange(t_k)).abs()
"""
PLACED = """
def spot_the_bug_04(x):
    length, d_model = x.shape[1], x.shape[2]
    position = torch.arange(length)[:, None]
    angle = position / 10000 ** (torch.arange(0, d_model, 2) / d_model)
    table = torch.zeros(length, d_model)
    table[:, 0::2] = torch.sin(angle)
    table[:, 1::2] = torch.cos(angle)
    return x + table
"""
RIGHT |= {
    "sinusoidal_encoding": [SINUSOIDS],
    "LearnedPositions": [LEARNED],
    "apply_rotary": [ROTARY],
    "alibi_bias": [ALIBI],
    "spot_the_bug_04": [PLACED],
}
WRONG |= {
    "sinusoidal_encoding": [
        (SINUSOIDS, "10000.0", "1000.0"),
        (SINUSOIDS, "1::2] = torch.cos(pos * div[: d_model // 2])", "1::2] = torch.cos(pos * div)"),
        (SINUSOIDS, "arange(length)", "arange(1, length + 1)"),
        (SINUSOIDS, "-math.log", "math.log"),
        (SINUSOIDS, "torch.cos(", "torch.sin("),
        (SINUSOIDS, "return pe", "return pe / d_model"),
        (SINUSOIDS, "return pe", "return pe[None]"),
        (SINUSOIDS, "pos * div)", "pos * div * math.pi)"),
    ],
    "LearnedPositions": [
        (LEARNED, "> self.table.size(0)", "> self.table.size(1)"),
        (LEARNED, "t > ", "t >= "),
        (LEARNED, "ValueError(", "IndexError("),
        (LEARNED, "[None, :t, :]", "[None, t - 1]"),
        (LEARNED, "x + self.table", "x - self.table"),
        (LEARNED, "nn.Parameter(torch.zeros(max_len, d_model))", "torch.zeros(max_len, d_model)"),
        (LEARNED, "return x + ", "return x + 2 * "),
        (LEARNED, "b, t, d = x.shape", "t, b, d = x.shape"),
    ],
    "apply_rotary": [
        (ROTARY, "-x[..., 1::2]", "x[..., 1::2]"),
        (ROTARY, "10000", "1000"),
        (ROTARY, "repeat_interleave(2, -1)", "repeat(1, 2)"),
        (ROTARY, "positions.float()", "positions.float() * 2"),
        (ROTARY, "x * f.cos() + r * f.sin()", "x * f.sin() + r * f.cos()"),
        (ROTARY, "(torch.arange(0, d, 2).float() / d)", "(torch.arange(0, d, 2).float() / d * 2)"),
        (ROTARY, "return x * f.cos()", "return x"),
        (ROTARY, ".to(x.dtype)", ".double()"),
    ],
    "alibi_bias": [
        (ALIBI, "-m.view", "m.view"),
        (ALIBI, ".abs()", ""),
        (ALIBI, "arange(t_k - t_q, t_k)", "arange(t_q)"),
        (ALIBI, "-8 / n_heads", "-4 / n_heads"),
        (ALIBI, "(1, n_heads + 1)", "(n_heads)"),
        (ALIBI, "-8 / n_heads *", "-1 *"),
        (ALIBI, ".abs()", ".abs().tril()"),
    ],
    "spot_the_bug_04": [
        (PLACED, "arange(length)[:", "arange(1, length + 1)[:"),
        (PLACED, "/ d_model)", "* 2 / d_model)"),
        (PLACED, "torch.cos(", "torch.sin("),
        (PLACED, "x + table", "x + table[:1]"),
        (PLACED, "x + table", "x * 2 + table"),
        (PLACED, "x + table", "x + table / 2"),
    ],
}
# --- chapters 05 and 06 -----------------------------------------------------------------------------------------------
SPLIT = """
def split_heads(x, n_heads):
    b, t, d = x.shape
    if d % n_heads:
        raise ValueError(f"{d} features, {n_heads} heads")
    return x.reshape(b, t, n_heads, d // n_heads).permute(0, 2, 1, 3)
"""
MERGE = """
def merge_heads(x):
    b, h, t, d = x.shape
    return x.permute(0, 2, 1, 3).reshape(b, t, h * d)
"""
MHA = """
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        if d_model % n_heads != 0:
            raise ValueError("not divisible")
        self.h, self.dh = n_heads, d_model // n_heads
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_model, d_model)
        self.value = nn.Linear(d_model, d_model)
        self.output = nn.Linear(d_model, d_model)

    def forward(self, q, k, v, mask=None):
        b, tq, d = q.shape
        tk = k.shape[1]
        Q = self.query(q).view(b, tq, self.h, self.dh).transpose(1, 2)
        K = self.key(k).view(b, tk, self.h, self.dh).transpose(1, 2)
        V = self.value(v).view(b, tk, self.h, self.dh).transpose(1, 2)
        s = Q @ K.transpose(-2, -1) / math.sqrt(self.dh)
        if mask is not None:
            s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
        a = s.softmax(-1)
        if mask is not None:
            a = a.masked_fill(~mask, 0.0)
        z = (a @ V).transpose(1, 2).reshape(b, tq, d)
        return self.output(z)
"""
BUG_05 = """
def spot_the_bug_05(x, w_q, w_k, w_v, w_o, n_heads):
    b, t, d_model = x.shape
    d_head = d_model // n_heads
    query, key, value = ((x @ w).view(b, t, n_heads, d_head).transpose(1, 2) for w in (w_q, w_k, w_v))
    weights = (query @ key.transpose(-2, -1) / math.sqrt(d_head)).softmax(dim=-1)
    return (weights @ value).transpose(1, 2).reshape(b, t, d_model) @ w_o
"""
NORM = """
class LayerNorm(nn.Module):
    def __init__(self, d_model, eps=1e-5):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))
        self.eps = eps

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        variance = ((x - mean) ** 2).mean(-1, keepdim=True)
        return self.gain * (x - mean) / torch.sqrt(variance + self.eps) + self.bias
"""
FEED = """
class FeedForward(nn.Module):
    def __init__(self, d_model, d_ff):
        super().__init__()
        self.expand = nn.Linear(d_model, d_ff)
        self.contract = nn.Linear(d_ff, d_model)

    def forward(self, x):
        return self.contract(torch.relu(self.expand(x)))
"""
GELU = """
def gelu(x):
    return 0.5 * x * (1 + torch.erf(x / 2 ** 0.5))
"""
ENCODER = (
    "from course_lib.attention import MultiHeadAttention\nfrom course_lib.blocks import LayerNorm\n"
    + FEED
    + """
class EncoderLayer(nn.Module):
    def __init__(self, d_model, n_heads, d_ff, norm="pre"):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm={norm}")
        self.norm = norm
        self.attention = MultiHeadAttention(d_model, n_heads)
        self.feed_forward = FeedForward(d_model, d_ff)
        self.norm_1, self.norm_2 = LayerNorm(d_model), LayerNorm(d_model)

    def forward(self, x, mask=None):
        if self.norm == "pre":
            y = self.norm_1(x)
            x = x + self.attention(y, y, y, mask)
            return x + self.feed_forward(self.norm_2(x))
        x = self.norm_1(x + self.attention(x, x, x, mask))
        return self.norm_2(x + self.feed_forward(x))
"""
)
BUG_06 = """
def spot_the_bug_06(x, gain, bias, w_1, b_1, w_2, b_2):
    y = torch.nn.functional.layer_norm(x, x.shape[-1:], gain, bias)
    hidden = torch.nn.functional.gelu(y @ w_1 + b_1)
    return x + hidden @ w_2 + b_2
"""
RIGHT |= {
    "split_heads": [
        SPLIT,
        "def split_heads(x, n):\n    if x.shape[2] % n:\n        raise ValueError\n    return torch.stack(torch.tensor_split(x, n, dim=-1), 1)",
    ],
    "merge_heads": [MERGE, "merge_heads = lambda x: torch.cat([h for h in x.transpose(0, 1)], -1)"],
    "MultiHeadAttention": [
        MHA,
        SPLIT + MERGE + MHA.replace("z = (a @ V).transpose(1, 2).reshape(b, tq, d)", "z = merge_heads(a @ V)"),
        MHA.replace(
            "        if mask is not None:\n            a = a.masked_fill(~mask, 0.0)",
            "        if mask is not None:\n            a = a * mask.any(-1, keepdim=True)",
        ),
        MHA.replace("if d_model % n_heads != 0:", "if d_model // n_heads * n_heads < d_model:"),
    ],
    "spot_the_bug_05": [BUG_05],
    "LayerNorm": [
        NORM,
        NORM.replace("((x - mean) ** 2).mean(-1, keepdim=True)", "x.var(dim=-1, unbiased=False, keepdim=True)"),
        NORM.replace("torch.ones(d_model)", "torch.full((d_model,), 1.0)"),
    ],
    "gelu": [GELU, "gelu = nn.GELU()", "gelu = lambda x: x * torch.special.erfc(-x * 0.5 ** 0.5) / 2"],
    "FeedForward": [
        FEED,
        FEED.replace("torch.relu(self.expand(x))", "self.expand(x).clamp(min=0)"),
        "class FeedForward(nn.Sequential):\n    def __init__(self, a, b):\n        from collections import OrderedDict\n        super().__init__(OrderedDict(expand=nn.Linear(a, b), bend=nn.ReLU(), contract=nn.Linear(b, a)))",
    ],
    "EncoderLayer": [
        ENCODER,
        ENCODER.replace("from course_lib.blocks import LayerNorm\n", NORM),
        ENCODER.replace("from course_lib.attention import MultiHeadAttention\n", MHA),
    ],
    "spot_the_bug_06": [
        BUG_06,
        NORM
        + BUG_06.replace("torch.nn.functional.gelu(", "gelu(").replace(
            "def spot", "from course_lib.blocks import gelu\n\ndef spot"
        ),
    ],
}
WRONG |= {
    "split_heads": [
        (SPLIT, ".permute(0, 2, 1, 3)", ".permute(0, 2, 3, 1)"),
        (SPLIT, "reshape(b, t, n_heads, d // n_heads).permute(0, 2, 1, 3)", "reshape(b, n_heads, t, d // n_heads)"),
        (SPLIT, "ValueError", "TypeError"),
        (SPLIT, "if d % n_heads", "if t % n_heads"),
        (SPLIT, "return x", "return x.flip(-1)"),
        (SPLIT, "return x", "x *= 2; return 0.5 * x"),
    ],
    "merge_heads": [
        (MERGE, ".permute(0, 2, 1, 3)", ".permute(0, 2, 3, 1)"),
        (MERGE, ".permute(0, 2, 1, 3)", ""),
        (MERGE, "return x", "return x.flip(1)"),
        (MERGE, "return x", "return x.float()"),
    ],
    "MultiHeadAttention": [
        (MHA, "math.sqrt(self.dh)", "self.dh"),
        (MHA, "math.sqrt(self.dh)", "math.sqrt(self.h)"),
        (MHA, "math.sqrt(self.dh)", "math.sqrt(d)"),
        (MHA, ".view(b, tk, self.h, self.dh).transpose(1, 2)\n        s", ".view(b, self.h, tk, self.dh)\n        s"),
        (MHA, "return self.output(z)", "return z"),
        (MHA, "return self.output(z)", "return self.output(z) + q"),
        (MHA, "self.key(k)", "self.key(q)"),
        (MHA, "self.value(v)", "self.value(k)"),
        (MHA, "softmax(-1)", "softmax(-2)"),
        (MHA, "            a = a.masked_fill(~mask, 0.0)", "            pass"),
        (MHA, "masked_fill(~mask, torch", "masked_fill(mask, torch"),
        (MHA, "masked_fill(~mask, torch.finfo(s.dtype).min)", "masked_fill(~mask, -1e1)"),
        (MHA, "raise ValueError", "raise RuntimeError"),
        (MHA, "self.output = nn.Linear(d_model, d_model)", "self.output = nn.Linear(d_model, d_model, bias=False)"),
        (MHA, "self.output = ", "self.scale = nn.Parameter(torch.ones(1)); self.output = "),
        (MHA, "transpose(1, 2).reshape", "reshape"),
        (MHA, "a = s.softmax(-1)", "a = s.softmax(-1).detach()"),
        (MHA, "mask=None):\n", "mask=None):\n        mask = None\n"),
        (MHA, "a = s.softmax(-1)", "a = s.exp() / s.exp().sum(-1, keepdim=True)"),
    ],
    "spot_the_bug_05": [
        (BUG_05, " @ w_o", ""),
        (BUG_05, ".view(b, t, n_heads, d_head).transpose(1, 2)", ".view(b, n_heads, t, d_head)"),
        (BUG_05, "math.sqrt(d_head)", "math.sqrt(d_model)"),
        (BUG_05, "value).transpose(1, 2)", "value)"),
        (BUG_05, "w_o\n", "w_o.T\n"),
        (BUG_05, "in (w_q, w_k, w_v)", "in (w_k, w_q, w_v)"),
    ],
    "LayerNorm": [
        (NORM, "torch.sqrt(variance + self.eps)", "(torch.sqrt(variance) + self.eps)"),
        (NORM, "+ self.eps", "+ 1e-5"),
        (NORM, "+ self.eps", ""),
        (NORM, "eps=1e-5", "eps=1e-6"),
        (NORM, "eps=1e-5", "eps=1e-3"),
        (NORM, "** 2).mean(-1, keepdim=True)", "** 2).sum(-1, keepdim=True) / max(1, x.shape[-1] - 1)"),
        (NORM, "torch.ones", "torch.zeros"),
        (NORM, "torch.zeros(d_model)", "torch.ones(d_model)"),
        (NORM, "nn.Parameter(torch.ones(d_model))", "torch.ones(d_model)"),
        (NORM, "self.gain * (x - mean)", "(1 + self.gain) * (x - mean)"),
        (NORM, "mean = x.mean(-1, keepdim=True)", "mean = x.mean(-1, keepdim=True).detach()"),
        (NORM, "mean = x.mean(-1, keepdim=True)", "mean = x.mean(0, keepdim=True)"),
        (NORM, "+ self.bias", ""),
    ],
    "gelu": [
        (GELU, "/ 2 ** 0.5", "/ 2"),
        (GELU, "0.5 * x", "x"),
        (GELU, "1 + ", ""),
        (GELU, "torch.erf(x / 2 ** 0.5)", "torch.tanh(0.7978845608 * (x + 0.044715 * x ** 3))"),
        (GELU, "return ", "return F.relu(x) if x.dim() > 2 else "),
        (GELU, "0.5 * x", "0.5 * x.detach()"),
    ],
    "FeedForward": [
        (FEED, "torch.relu(self.expand(x))", "self.expand(x)"),
        (FEED, "torch.relu(self.expand(x))", "F.gelu(self.expand(x))"),
        (
            FEED,
            "return self.contract(torch.relu(self.expand(x)))",
            "return self.contract(torch.relu(self.expand(x))).relu()",
        ),
        (FEED, "return self", "return x + self"),
        (FEED, "nn.Linear(d_ff, d_model)", "nn.Linear(d_ff, d_model, bias=False)"),
        (FEED, "d_ff)\n", "4 * d_model)\n"),
        (
            FEED,
            "return self.contract(torch.relu(self.expand(x)))",
            "return self.contract(torch.relu(self.expand(x))).softmax(-1)",
        ),
    ],
    "EncoderLayer": [
        (ENCODER, 'norm="pre"', 'norm="post"'),
        (ENCODER, "raise ValueError", "raise KeyError"),
        (ENCODER, '("pre", "post")', '("pre", "post", "middle")'),
        (ENCODER, "x = x + self.attention(y, y, y, mask)", "x = self.attention(y, y, y, mask)"),
        (ENCODER, "x = x + self.attention(y, y, y, mask)", "x = y + self.attention(y, y, y, mask)"),
        (ENCODER, "x = x + self.attention(y, y, y, mask)", "x = x + self.attention(y, y, y)"),
        (ENCODER, "x = x + self.attention(y, y, y, mask)", "x = x + self.attention(y, x, x, mask)"),
        (ENCODER, "self.attention(x, x, x, mask)", "self.attention(x, x, x)"),
        (ENCODER, "return self.norm_2(x + self.feed_forward(x))", "return x + self.feed_forward(self.norm_2(x))"),
        (ENCODER, "return self.norm_2(x + self.feed_forward(x))", "return self.norm_1(x + self.feed_forward(x))"),
        (ENCODER, "LayerNorm(d_model), LayerNorm(d_model)", "nn.LayerNorm(d_model), nn.LayerNorm(d_model)"),
        (ENCODER, 'if self.norm == "pre"', 'if self.norm == "post"'),
        (ENCODER, "return x + self.feed_forward(self.norm_2(x))", "return x + self.feed_forward(self.norm_2(x)) / 2"),
    ],
    "spot_the_bug_06": [
        (BUG_06, "gelu(", "relu("),
        (BUG_06, "return x + ", "return "),
        (BUG_06, "return x + ", "return y + "),
        (BUG_06, " + b_2", ""),
        (BUG_06, " + b_1", ""),
        (BUG_06, ", gain, bias)\n", ")\n"),
        (BUG_06, "hidden @ w_2", "hidden @ w_1.T"),
        (BUG_06, "gelu(y @ w_1 + b_1)", 'gelu(y @ w_1 + b_1, approximate="tanh")'),
    ],
    "greedy_decode": [
        (GREEDY, "[bos_id] + out", "out"),
        (GREEDY, "[bos_id] + out", "[bos_id] + out[-1:]"),
        (GREEDY, "[bos_id] + out", "[bos_id] + out[::-1]"),
        (GREEDY, "[bos_id] + out", "(bos_id, *out)"),
        (GREEDY, "[bos_id] + out", "torch.tensor([[bos_id] + out])"),
        (GREEDY, "range(max_len)", "range(max_len - 1)"),
        (GREEDY, "range(max_len)", "range(max_len + 1)"),
        (GREEDY, "range(max_len)", "range(10)"),
        (GREEDY, "        out.append(token)\n        if token == eos_id:\n            break", "        if token == eos_id:\n            break\n        out.append(token)"),
        (GREEDY, "token == eos_id", "token == 2"),
        (GREEDY, "token == eos_id", "token == bos_id"),
        (GREEDY, "            break", "            pass"),
        (GREEDY, "return out", "return [bos_id] + out"),
        (GREEDY, "return out", "return tuple(out)"),
        (GREEDY, "return out", "return out + [eos_id]"),
        (GREEDY, "return out", "return out if out[-1] == eos_id else out + [eos_id]"),
        (GREEDY, "return out", "return [float(i) for i in out]"),
        (GREEDY, "torch.argmax(step([bos_id] + out))", "torch.multinomial(step([bos_id] + out).softmax(-1), 1)"),
        (GREEDY, "torch.argmax(step([bos_id] + out))", "step([bos_id] + out)[1:].argmax()"),
    ],
    "beam_search": [
        (BEAM, "torch.log_softmax(step(ids), -1)", "step(ids)"),
        (BEAM, "torch.log_softmax(step(ids), -1)", "torch.softmax(step(ids), -1)"),
        (BEAM, "log_p + p", "p"),
        (BEAM, "log_p + p", "(log_p + p) / 2"),
        (BEAM, "log_p + p", "min(log_p, p)"),
        (BEAM, "-b[1]", "b[1]"),
        (BEAM, "grown[:beam_size]", "grown[:beam_size - len(done)]"),
        (BEAM, "grown[:beam_size]", "grown[:2 * beam_size]"),
        (BEAM, "grown[:beam_size]", "grown[:1]"),
        (BEAM, "if len(beams) == 0", "if len(done) > 0 or len(beams) == 0"),
        (BEAM, "if len(beams) == 0", "if len(done) >= beam_size or len(beams) == 0"),
        (BEAM, "range(max_len)", "range(max_len - 1)"),
        (BEAM, "range(max_len)", "range(max_len + 1)"),
        (BEAM, "max(done + beams", "max(done or beams"),
        (BEAM, "max(done + beams", "max(beams or done"),
        (BEAM, "/ (len(b[0]) - 1)", "/ len(b[0])"),
        (BEAM, "/ (len(b[0]) - 1)", "* (len(b[0]) - 1)"),
        (BEAM, "** length_penalty", "** 1.0"),
        (BEAM, "** length_penalty", "** 0.0"),
        (BEAM, "** length_penalty", "* length_penalty"),
        (BEAM, "** length_penalty", "** (length_penalty / 2)"),
        (BEAM, "best[0][1:]", "best[0]"),
        (BEAM, "best[0][1:]", "best"),
        (BEAM, "best[0][1:]", "[t for t in best[0][1:] if t != eos_id]"),
        (BEAM, "best[0][1:]", "torch.tensor(best[0][1:])"),
        (BEAM, "    best =", "    done = done[:beam_size]; best ="),
        (BEAM, "step(ids)", "step(ids[-1:])"),
        (BEAM, "-1).tolist()", "-1).topk(beam_size)[0].tolist()"),
    ],
    "top_p_filter": [
        (TOP_P, "< p", "<= p"),
        (TOP_P, "+ 1", "+ 0"),
        (TOP_P, "+ 1", "+ 2"),
        (TOP_P, "descending=True", "descending=False"),
        (TOP_P, "kept[order[:n]] = values[:n]", "kept[:n] = values[:n]"),
        (TOP_P, "kept / kept.sum()", "kept"),
        (TOP_P, "kept / kept.sum()", "kept / p"),
        (TOP_P, "kept / kept.sum()", "kept.softmax(-1)"),
        (TOP_P, "kept / kept.sum()", "(kept / kept.sum()).tolist()"),
        (TOP_P, "kept / kept.sum()", "(kept / kept.sum())[None]"),
        (TOP_P, "kept / kept.sum()", "(kept / kept.sum()).float()"),
        (TOP_P, "torch.zeros_like(probabilities)", "probabilities.zero_()"),
        (TOP_P, "(values.cumsum(0) < p)", "(values < p)"),
        (TOP_P, "(values.cumsum(0) < p)", "(values > 1 - p)"),
        (TOP_P, "(values.cumsum(0) < p)", "(values.cumsum(0) < 0.9)"),
        (TOP_P, "values.cumsum(0)", "values.softmax(0).cumsum(0)"),
    ],
    "bleu": [
        (BLEU, "range(1, 5)", "range(1, 4)"),
        (BLEU, "range(1, 5)", "range(2, 5)"),
        (BLEU, "min(have.count(g), want.count(g))", "have.count(g) * (g in want)"),
        (BLEU, "min(have.count(g), want.count(g))", "min(1, want.count(g))"),
        (BLEU, "min(have.count(g), want.count(g))", "want.count(g)"),
        (BLEU, "len(have)\n", "max(1, len(have))\n"),
        (BLEU, "len(have)\n", "len(want)\n"),
        (BLEU, "len(have)\n", "len(set(have))\n"),
        (BLEU, "return 0.0", "continue"),
        (BLEU, "return 0.0", "return None"),
        (BLEU, "return 100 *", "return 1 *"),
        (BLEU, "/ 4\n", "\n"),
        (BLEU, "1 - r / c", "1 - c / r"),
        (BLEU, "1.0 if c >= r else", "1.0 if c < r else"),
        (BLEU, "1.0 if c >= r else", ""),
        (BLEU, "math.exp(1 - r / c))", "c / r)"),
        (BLEU, "(1.0 if c >= r else math.exp(1 - r / c))", "1.0"),
        (BLEU, "map(len, references)", "map(max, [map(len, p) for p in zip(hypotheses, references)])"),
        (BLEU, "math.log(good / total)", "math.log((good + 1) / (total + 1))"),
        (BLEU, "zip(hypotheses, references)", "zip(hypotheses[:1], references)"),
        (BLEU, "return 100 * ", "return '%s' % "),
    ],
    "spot_the_bug_10": [
        (BUG_10, "model(source, target)", "model(source, source)"),
        (BUG_10, "model(source, target)", "model(target, source)"),
        (BUG_10, "model(source, target)", "model(source, target[:, -1:])"),
        (BUG_10, "[:, -1, :]", "[:, 0, :]"),
        (BUG_10, "[:, -1, :].argmax(dim=-1)", "[:, -1, :].argmin(dim=-1)"),
        (BUG_10, "bos_id, dtype", "eos_id, dtype"),
        (BUG_10, "bos_id, dtype", "0, dtype"),
        (BUG_10, "done.all()", "done.any()"),
        (BUG_10, "range(max_len)", "range(max_len - 1)"),
        (BUG_10, "range(max_len)", "range(max_len + 1)"),
        (BUG_10, "range(max_len)", "range(source.shape[1])"),
        (BUG_10, "row.index(eos_id) + 1", "row.index(eos_id)"),
        (BUG_10, "row[:row.index(eos_id) + 1] if eos_id in row else row", "row"),
        (BUG_10, "target[:, 1:].tolist()", "target.tolist()"),
        (BUG_10, "return out", "return out[0]"),
        (BUG_10, "return out", "return target[:, 1:]"),
    ],
}

RNN_LOOP = """
def rnn_forward(x, w_x, w_h, b, h0):
    h, out = h0, []
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ w_x + h @ w_h + b)
        out.append(h)
    return torch.stack(out, 1)
"""
LSTM_GATES = """
def lstm_step(x, h, c, w_x, w_h, b):
    i, f, g, o = torch.chunk(x @ w_x + h @ w_h + b, 4, dim=1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c
"""
FIELD = """
def receptive_field(kernel_size, n_layers):
    seen = 1
    for _ in range(n_layers):
        seen += kernel_size - 1
    return seen
"""
FLOPS = "def attention_flops(n, d):\n    scores = 2 * n * d * n\n    values = 2 * n * n * d\n    return scores + values\n"
COSTS = """
def spot_the_bug_01(n, d, kernel_size):
    return {
        "recurrent": {"operations": 4 * n * d * d, "steps": n, "path": n},
        "convolution": {"operations": 2 * kernel_size * n * d * d, "steps": 1, "path": math.ceil((n - 1) / (kernel_size - 1))},
        "attention": {"operations": 4 * n * n * d, "steps": 1, "path": 1},
    }
"""
RIGHT |= {
    "rnn_forward": [
        RNN_LOOP,
        "def rnn_forward(x, w_x, w_h, b, h0):\n    m = nn.RNN(w_x.shape[0], w_x.shape[1], batch_first=True)\n    w = {'weight_ih_l0': w_x.T, 'weight_hh_l0': w_h.T, 'bias_ih_l0': b, 'bias_hh_l0': 0 * b}\n    return torch.func.functional_call(m, w, (x, h0[None]))[0]",
        "def rnn_forward(x, w_x, w_h, b, h0):\n    u = x @ w_x + b\n    states = []\n    for u_t in u.transpose(0, 1):\n        h0 = (u_t + torch.mm(h0, w_h)).tanh()\n        states += [h0.unsqueeze(1)]\n    return torch.cat(states, dim=1)",
        "class R:\n    def __call__(self, x, wx, wh, b, h):\n        out = x.new_empty(x.shape[0], x.shape[1], len(wh))\n        for t in range(x.shape[1]):\n            h = torch.tanh(F.linear(x[:, t], wx.T, b) + F.linear(h, wh.T))\n            out[:, t] = h\n        return out\nrnn_forward = R()",
    ],
    "lstm_step": [
        LSTM_GATES,
        "def lstm_step(x, h, c, w_x, w_h, b):\n    return tuple(torch.lstm_cell(x, (h, c), w_x.T.contiguous(), w_h.T.contiguous(), b, b * 0))",
        "from collections import namedtuple\nState = namedtuple('State', 'h c')\ndef lstm_step(x, h, c, w_x, w_h, b):\n    z = F.linear(x, w_x.T, b) + F.linear(h, w_h.T)\n    n = h.size(1)\n    i, f, o = torch.sigmoid(z[:, :n]), torch.sigmoid(z[:, n:2*n]), torch.sigmoid(z[:, -n:])\n    new = f * c + i * torch.tanh(z[:, 2*n:3*n])\n    return State(o * torch.tanh(new), new)",
    ],
    "receptive_field": [
        FIELD,
        "receptive_field = lambda k, n: n * (k - 1) + 1",
        "def receptive_field(k, n):\n    return 1 if n == 0 else receptive_field(k, n - 1) + k - 1",
        "def receptive_field(k, n):\n    x = torch.zeros(1, 1, n * k + 1)\n    x[..., n * k // 2] = 1\n    for _ in range(n):\n        x = (F.conv1d(F.pad(x, (k - 1, k - 1)), torch.ones(1, 1, k)) > 0).float()\n    return int(x.sum())",
    ],
    "attention_flops": [FLOPS, "attention_flops = lambda n, d: n * n * d << 2", "def attention_flops(n, d):\n    return int(2 * (n ** 2 * d + n * d * n))"],
    "spot_the_bug_01": [
        COSTS,
        "def spot_the_bug_01(n, d, k):\n    names = ['operations', 'steps', 'path']\n    path, seen = 0, 1\n    while seen < n:\n        path, seen = path + 1, seen + k - 1\n    rows = {'attention': (n * n * d * 4, 1, 1), 'convolution': (n * 2 * d * d * k, 1, path), 'recurrent': (2 * n * d * (d + d), n, n)}\n    return {kind: dict(zip(names, row)) for kind, row in rows.items()}",
    ],
}
WRONG |= {
    "rnn_forward": [
        (RNN_LOOP, "torch.tanh(", "torch.sin("),
        (RNN_LOOP, "torch.tanh(", "F.hardtanh("),
        (RNN_LOOP, "torch.tanh(", "F.softsign("),
        (RNN_LOOP, "h, out = h0", "h, out = 0 * h0"),
        (RNN_LOOP, "h, out = h0", "h, out = h0.mean(0, keepdim=True)"),
        (RNN_LOOP, "range(x.shape[1])", "range(1, x.shape[1])"),
        (RNN_LOOP, "range(x.shape[1])", "range(x.shape[0])"),
        (RNN_LOOP, "h @ w_h", "h0 @ w_h"),
        (RNN_LOOP, "h @ w_h + b", "h @ w_h - b"),
        (RNN_LOOP, "h @ w_h", "torch.tanh(h) @ w_h"),
        (RNN_LOOP, "h @ w_h", "h.detach() @ w_h"),
        (RNN_LOOP, "out.append(h)", "out.append(h.detach())"),
        (RNN_LOOP, "torch.stack(out, 1)", "torch.stack(out, 2)"),
        (RNN_LOOP, "torch.stack(out, 1)", "torch.stack(out, 1)[:, -1]"),
        (RNN_LOOP, "torch.stack(out, 1)", "torch.stack(out, 1), h"),
        (RNN_LOOP, "torch.stack(out, 1)", "torch.stack(out, 1).squeeze()"),
        (RNN_LOOP, "torch.stack(out, 1)", "torch.stack(out, 1).float()"),
        (RNN_LOOP, "torch.stack(out, 1)", "torch.stack(out, 1).half().to(x.dtype)"),
        (RNN_LOOP, "torch.stack(out, 1)", "out"),
        (RNN_LOOP, "        out.append(h)", "        out.append(h); x[:, t] = 0"),
        (RNN_LOOP, "torch.stack(out, 1)", "torch.stack(out, 1).flip(1)"),
        (RNN_LOOP, "+ b)", ") + b"),
        (RNN_LOOP, "+ b)", "+ b + b)"),
        (RNN_LOOP, "        out.append(h)", "        out.append(h + h0)"),
        (RNN_LOOP, "def rnn", "@torch.no_grad()\ndef rnn"),
    ],
    "lstm_step": [
        (LSTM_GATES, "i, f, g, o =", "f, i, g, o ="),
        (LSTM_GATES, "i, f, g, o =", "i, g, f, o ="),
        (LSTM_GATES, "i, f, g, o =", "o, f, g, i ="),
        (LSTM_GATES, "i, f, g, o =", "f, i, o, g ="),
        (LSTM_GATES, "f.sigmoid() * c", "(f + 1).sigmoid() * c"),
        (LSTM_GATES, "f.sigmoid() * c", "f.sigmoid() * h"),
        (LSTM_GATES, "f.sigmoid() * c", "F.hardsigmoid(f) * c"),
        (LSTM_GATES, "i.sigmoid() *", "(1 - f.sigmoid()) *"),
        (LSTM_GATES, "* g.tanh()", "* g.relu()"),
        (LSTM_GATES, "* g.tanh()", "* F.hardtanh(g)"),
        (LSTM_GATES, "o.sigmoid() * c.tanh(), c", "o.sigmoid() * c.sigmoid(), c"),
        (LSTM_GATES, "o.sigmoid() * c.tanh(), c", "c, o.sigmoid() * c.tanh()"),
        (LSTM_GATES, "o.sigmoid() * c.tanh(), c", "o.sigmoid() * c.tanh(), c.tanh()"),
        (LSTM_GATES, "o.sigmoid() * c.tanh(), c", "o.sigmoid() * c.tanh(), c, o"),
        (LSTM_GATES, "return o.sigmoid() * c.tanh(), c", "return torch.stack([o.sigmoid() * c.tanh(), c])"),
        (LSTM_GATES, "return o", "return 0.5 * h + o"),
        (LSTM_GATES, "dim=1)", "dim=1)[::-1]"),
        (LSTM_GATES, "    c = f", "    c = c.clamp(-1, 1); c = f"),
        (LSTM_GATES, "    c = f", "    c.clamp_(-9, 9).mul_(1.5); c = f"),
        (LSTM_GATES, "f.sigmoid() * c", "f.sigmoid() * c.detach()"),
        (LSTM_GATES, "i.sigmoid() *", "i.sigmoid().detach() *"),
        (LSTM_GATES, "f.sigmoid()", "(1 / (1 + (-f).exp()) if f.abs().max() < 80 else torch.full_like(f, torch.nan))"),
        (LSTM_GATES, "+ b,", ","),
        (LSTM_GATES, "def lstm", "@torch.no_grad()\ndef lstm"),
    ],
    "receptive_field": [
        (FIELD, "seen = 1", "seen = 0"),
        (FIELD, "seen = 1", "seen = kernel_size"),
        (FIELD, "seen = 1", "seen = 1.0"),
        (FIELD, "seen = 1", "seen = torch.tensor(1)"),
        (FIELD, "+= kernel_size - 1", "+= kernel_size"),
        (FIELD, "+= kernel_size - 1", "*= kernel_size"),
        (FIELD, "+= kernel_size - 1", "+= 2 * (kernel_size // 2)"),
        (FIELD, "+= kernel_size - 1", "+= 2"),
        (FIELD, "range(n_layers)", "range(n_layers - 1)"),
        (FIELD, "range(n_layers)", "range(min(n_layers, 12))"),
        (FIELD, "return seen", "return seen if n_layers else 0"),
        (FIELD, "return seen", "return seen if kernel_size > 1 else n_layers"),
        (FIELD, "return seen", "return str(seen)"),
        (FIELD, "return seen", "return (seen,)"),
        (FIELD, "return seen", "print(seen)"),
    ],
    "attention_flops": [
        (FLOPS, "2 * n * d * n", "n * d * n"),
        (FLOPS, "2 * n * d * n", "2 * n * d * d"),
        (FLOPS, "return scores + values", "return scores"),
        (FLOPS, "return scores + values", "return scores + values + 5 * n * n"),
        (FLOPS, "return scores + values", "return scores + values - 1"),
        (FLOPS, "return scores + values", "return float(scores + values)"),
        (FLOPS, "return scores + values", "return int(torch.tensor(scores + values).to(torch.int32))"),
        (FLOPS, "return scores + values", "return scores, values"),
        (FLOPS, "return scores + values", "return torch.tensor(scores + values)"),
        (FLOPS, "return scores + values", "return (scores + values) if n > 1 else 0"),
        (FLOPS, "attention_flops(n, d)", "attention_flops(d, n)"),
    ],
    "spot_the_bug_01": [
        (COSTS, '"operations": 4 * n * d * d', '"operations": 2 * n * d * d'),
        (COSTS, '"operations": 4 * n * d * d', '"operations": 4 * n * n * d'),
        (COSTS, '"operations": 4 * n * n * d', '"operations": 4 * n * d * d'),
        (COSTS, '"operations": 4 * n * n * d', '"operations": 4 * n * n * d + 1'),
        (COSTS, "2 * kernel_size * n", "kernel_size * n"),
        (COSTS, "2 * kernel_size * n", "2 * 3 * n"),
        (COSTS, '"steps": n', '"steps": 1'),
        (COSTS, '"steps": 1, "path": 1', '"steps": 2, "path": 1'),
        (COSTS, '"steps": 1, "path": math', '"steps": n, "path": math'),
        (COSTS, '"path": n', '"path": n - 1'),
        (COSTS, '"path": n', '"path": 1'),
        (COSTS, '"path": n', '"path": float(n)'),
        (COSTS, "math.ceil((n - 1)", "int((n - 1)"),
        (COSTS, "math.ceil((n - 1)", "math.ceil(n"),
        (COSTS, "/ (kernel_size - 1)", "/ kernel_size"),
        (COSTS, "/ (kernel_size - 1)", "/ 2"),
        (COSTS, "math.ceil((n - 1) / (kernel_size - 1))", "math.ceil(math.log(n, kernel_size))"),
        (COSTS, '"path": 1}', '"path": n}'),
        (COSTS, '"attention"', '"Attention"'),
        (COSTS, '"steps": 1, "path": 1', '"path": 1'),
    ],
}

# --- chapter 11 ---

AER = """
def alignment_error_rate(predicted, gold):
    total = len(predicted) + len(gold)
    if total == 0:
        return 0.0
    hits = sum(1 for link in gold if link in predicted)
    return (total - 2 * hits) / total
"""
ROLLOUT = """
def attention_rollout(maps):
    eye = torch.eye(maps[0].size(-1), dtype=maps[0].dtype)
    product = None
    for layer in maps:
        a = torch.mean(layer, dim=0) + eye
        a = a / a.sum(dim=1, keepdim=True)
        product = a if product is None else torch.matmul(a, product)
    return product
"""
OCCLUSION = """
def occlusion(score, ids):
    base = score(ids)
    out = []
    for i in range(len(ids)):
        shorter = ids[:i] + ids[i + 1:]
        out.append(base - score(shorter))
    return out
"""
BUG_11 = """
def spot_the_bug_11(states, memory, w_q, w_k, keep):
    query = states @ w_q
    key = memory @ w_k
    scores = query @ key.T / math.sqrt(w_k.shape[-1])
    scores = scores.masked_fill(keep.logical_not(), float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    links = set()
    for t in range(len(weights)):
        links.add((weights[t].argmax().item(), t))
    return weights, links
"""
RIGHT |= {
    "alignment_error_rate": [
        AER,
        "def alignment_error_rate(p, g):\n    return 0.0 if not (p or g) else len(p ^ g) / (len(p) + len(g))",
        "alignment_error_rate = lambda a, b, /: 1 - 2 * len(a & b) / max(len(a) + len(b), 1) if a or b else 0",
        "def alignment_error_rate(p, g):\n    try:\n        return 1 - 2 * len(set(p).intersection(g)) / (len(p) + len(g))\n    except ZeroDivisionError:\n        return 0.0",
    ],
    "attention_rollout": [
        ROLLOUT,
        "from functools import reduce\ndef attention_rollout(maps):\n    mixed = [F.normalize(m.mean(0) + torch.eye(m.shape[-1], dtype=m.dtype), p=1, dim=-1) for m in maps]\n    return reduce(lambda below, above: above @ below, mixed)",
        "def attention_rollout(maps):\n    x = torch.stack(list(maps)).mean(1)\n    x = x + torch.eye(x.shape[-1]).to(x)\n    x = x / x.sum(-1, keepdim=True)\n    return torch.linalg.multi_dot(list(x.flip(0))) if len(x) > 1 else x[0]",
        "def attention_rollout(maps):\n    r = torch.eye(maps[0].shape[-1]).to(maps[0])\n    for m in maps:\n        a = m.sum(0) / m.shape[0]\n        r = (a @ r + r) / (a.sum(1, keepdim=True) + 1)\n    return r",
    ],
    "occlusion": [
        OCCLUSION,
        "def occlusion(score, ids):\n    return [score(list(ids)) - score(list(ids[:i]) + list(ids[i + 1 :])) for i in range(len(ids))]",
        "def occlusion(f, ids):\n    from itertools import combinations\n    return [f(list(ids)) - f(list(c)) for c in combinations(ids, len(ids) - 1)][::-1] if ids else []",
    ],
    "spot_the_bug_11": [
        BUG_11,
        BUG_11.replace("torch.softmax(scores, dim=-1)", "F.softmax(scores, 1)"),
        "def spot_the_bug_11(s, m, wq, wk, keep):\n    q, k = s @ wq, m @ wk\n    w = ((q * wq.shape[1] ** -0.5) @ k.T).where(keep, torch.tensor(-torch.inf, dtype=s.dtype)).softmax(-1)\n    return w, frozenset(zip(w.argmax(-1).tolist(), range(len(w))))",
    ],
}
WRONG |= {
    "alignment_error_rate": [
        (AER, "(total - 2 * hits)", "(total - hits)"),
        (AER, "(total - 2 * hits) / total", "2 * hits / total"),
        (AER, "return 0.0", "return 1.0"),
        (AER, "return 0.0", "return None"),
        (AER, "total = len(predicted) + len(gold)", "total = len(predicted | gold)"),
        (AER, "if link in predicted", "if link in predicted or link[::-1] in predicted"),
        (AER, "if link in predicted", "if link[0] in {s for s, _ in predicted}"),
        (AER, "    hits =", "    gold.discard(None); predicted.update(gold)\n    hits ="),
        (AER, "    hits =", "    gold -= {None}; gold.pop() if gold else 0\n    hits ="),
        (AER, "(total - 2 * hits) / total", "torch.tensor((total - 2 * hits) / total)"),
        (AER, "(total - 2 * hits) / total", "(total - 2 * hits) // total"),
        (AER, "if total == 0", "if not predicted or not gold"),
    ],
    "attention_rollout": [
        (ROLLOUT, "torch.matmul(a, product)", "torch.matmul(product, a)"),
        (ROLLOUT, "torch.matmul(a, product)", "a * product"),
        (ROLLOUT, " + eye", ""),
        (ROLLOUT, " + eye", " + 0.5 * eye"),
        (ROLLOUT, "a / a.sum(dim=1, keepdim=True)", "a / a.sum(dim=0, keepdim=True)"),
        (ROLLOUT, "a / a.sum(dim=1, keepdim=True)", "a / 2"),
        (ROLLOUT, "a / a.sum(dim=1, keepdim=True)", "a / a.sum()"),
        (ROLLOUT, "torch.mean(layer, dim=0)", "layer.max(0).values"),
        (ROLLOUT, "torch.mean(layer, dim=0)", "layer[-1]"),
        (ROLLOUT, "torch.mean(layer, dim=0)", "layer.sum(0)"),
        (ROLLOUT, "for layer in maps", "for layer in maps[::-1]"),
        (ROLLOUT, "for layer in maps", "for layer in maps[1:] or maps"),
        (ROLLOUT, "return product", "return product[None]"),
        (ROLLOUT, "return product", "return product.float()"),
        (ROLLOUT, "return product", "return product / product.sum(-1, keepdim=True) - eye"),
        (ROLLOUT, "a = torch.mean(layer, dim=0) + eye", "a = layer.add_(eye).mean(0)"),
        (ROLLOUT, "torch.mean(layer, dim=0) + eye\n", "((layer + eye) / (layer + eye).sum(-1, True)).mean(0)\n"),
    ],
    "occlusion": [
        (OCCLUSION, "base - score(shorter)", "score(shorter) - base"),
        (OCCLUSION, "base - score(shorter)", "score(shorter)"),
        (OCCLUSION, "ids[:i] + ids[i + 1:]", "ids[:i] + [0] + ids[i + 1:]"),
        (OCCLUSION, "ids[:i] + ids[i + 1:]", "[w for w in ids if w != ids[i]]"),
        (OCCLUSION, "ids[:i] + ids[i + 1:]", "ids[i + 1:]"),
        (OCCLUSION, "shorter = ids[:i] + ids[i + 1:]", "shorter = ids.copy(); shorter.remove(ids[i])"),
        (OCCLUSION, "return out", "return tuple(out)"),
        (OCCLUSION, "return out", "return out[::-1]"),
        (OCCLUSION, "return out", "ids.reverse()\n    return out"),
        (OCCLUSION, "return out", "return [abs(x) for x in out]"),
        (OCCLUSION, "range(len(ids))", "range(len(ids) - 1)"),
        (OCCLUSION, "return out", "return torch.tensor(out)"),
    ],
    "spot_the_bug_11": [
        (BUG_11, "states @ w_q", "memory @ w_q"),
        (BUG_11, "memory @ w_k", "states @ w_k"),
        (BUG_11, "math.sqrt(w_k.shape[-1])", "math.sqrt(w_k.shape[0])"),
        (BUG_11, " / math.sqrt(w_k.shape[-1])", ""),
        (BUG_11, "keep.logical_not()", "keep"),
        (BUG_11, 'float("-inf")', "-1.0"),
        (BUG_11, "dim=-1", "dim=0"),
        (BUG_11, "torch.softmax(scores, dim=-1)", "scores"),
        (BUG_11, "(weights[t].argmax().item(), t)", "(t, weights[t].argmax().item())"),
        (BUG_11, "(weights[t].argmax().item(), t)", "(weights[t].argmin().item(), t)"),
        (BUG_11, "weights[t].argmax().item()", "weights[t].argmax()"),
        (BUG_11, "return weights, links", "return links, weights"),
        (BUG_11, "return weights, links", "return weights, list(links)"),
        (BUG_11, "return weights, links", "memory[~keep] = 0\n    return weights, links"),
    ],
}
# --- chapter 08 -------------------------------------------------------------------------------------------------------
BEST_PAIR = """
def most_frequent_pair(words):
    freqs = {}
    for word, freq in words.items():
        for i in range(len(word) - 1):
            pair = (word[i], word[i + 1])
            freqs[pair] = freqs.get(pair, 0) + freq
    if len(freqs) == 0:
        return None
    top = max(freqs.values())
    return sorted(p for p in freqs if freqs[p] == top)[0]
"""
BEST_PAIR_LOOP = """
from collections import Counter
def most_frequent_pair(words):
    best_pair, max_freq = None, None
    stats = Counter()
    for w, n in words.items():
        prev = None
        for s in w:
            if prev is not None:
                stats[(prev, s)] += n
            prev = s
    for pair, freq in stats.items():
        if best_pair is None or max_freq < freq or (max_freq == freq and pair < best_pair):
            best_pair, max_freq = pair, freq
    return best_pair
"""
MERGE = """
def merge_pair(words, pair):
    a, b = pair
    out = {}
    for word, freq in words.items():
        new = []
        i = 0
        while i < len(word):
            if i < len(word) - 1 and word[i] == a and word[i + 1] == b:
                new.append(a + b)
                i += 2
            else:
                new.append(word[i])
                i += 1
        new = tuple(new)
        out[new] = out.get(new, 0) + freq
    return out
"""
MERGE_TEXT = r"""
import re
from collections import defaultdict
def merge_pair(words, pair):
    pattern = re.compile(r'(?<!\S)' + re.escape(' '.join(pair)) + r'(?!\S)')
    result = defaultdict(int)
    for word in words:
        result[tuple(pattern.sub(lambda m: ''.join(pair), ' '.join(word)).split())] += words[word]
    return result
"""
MERGE_SPLITS = """
def merge_pair(words, pair):
    merged = {}
    for split, n in words.items():
        split = list(split)
        i = 0
        while i < len(split) - 1:
            if split[i] == pair[0] and split[i + 1] == pair[1]:
                split = split[:i] + ["".join(pair)] + split[i + 2:]
            i += 1
        merged.setdefault(tuple(split), []).append(n)
    return {w: sum(ns) for w, ns in merged.items()}
"""
BPE = """
def bpe_encode(word, merges):
    parts = list(word)
    while True:
        best = None
        for i in range(len(parts) - 1):
            if (parts[i], parts[i + 1]) in merges:
                r = merges.index((parts[i], parts[i + 1]))
                if best is None or r < best:
                    best = r
        if best is None:
            return parts
        a, b = merges[best]
        new, i = [], 0
        while i < len(parts):
            if i + 1 < len(parts) and parts[i] == a and parts[i + 1] == b:
                new.append(a + b)
                i += 2
            else:
                new.append(parts[i])
                i += 1
        parts = new
"""
BPE_PASSES = """
def bpe_encode(word, merges):
    split = [c for c in word]
    for a, b in merges:
        i = 0
        while i < len(split) - 1:
            if split[i] == a and split[i + 1] == b:
                split[i : i + 2] = [a + b]
            else:
                i += 1
    return split
"""
PADDED_BATCH = """
def pad_batch(sequences, pad_id):
    n = max([len(s) for s in sequences])
    ids = torch.tensor([s + [pad_id] * (n - len(s)) for s in sequences], dtype=torch.long)
    lengths = torch.tensor([len(s) for s in sequences], dtype=torch.long)
    return ids, lengths
"""
PADDED_ROWS = """
def pad_batch(sequences, pad_id):
    lengths = torch.LongTensor(list(map(len, sequences)))
    ids = torch.LongTensor(len(sequences), lengths.max().item()).fill_(pad_id)
    for row, s in zip(ids, sequences):
        row[:len(s)] = torch.LongTensor(s)
    return ids, lengths
"""
PADDED_TORCH = """
from typing import NamedTuple
class Padded(NamedTuple):
    ids: torch.Tensor
    lengths: torch.Tensor
def pad_batch(sequences, pad_id):
    rows = [torch.as_tensor(s, dtype=torch.int64) for s in sequences]
    return Padded(nn.utils.rnn.pad_sequence(rows, True, pad_id), torch.tensor([r.numel() for r in rows]))
"""
EMBEDDED = """
def spot_the_bug_08(sequences, table, pad_id):
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.tensor([sequence + [pad_id] * (longest - len(sequence)) for sequence in sequences])
    mask = (ids != pad_id)[:, None, None, :]
    vectors = table[ids] * table.shape[1] ** 0.5
    return vectors, mask
"""
RIGHT |= {
    "most_frequent_pair": [BEST_PAIR, BEST_PAIR_LOOP],
    "merge_pair": [MERGE, MERGE_TEXT, MERGE_SPLITS],
    "bpe_encode": [BPE, BPE_PASSES],
    "pad_batch": [PADDED_BATCH, PADDED_ROWS, PADDED_TORCH],
    "spot_the_bug_08": [EMBEDDED],
}
WRONG |= {
    "most_frequent_pair": [
        (BEST_PAIR, ")[0]", ")[-1]"),
        (BEST_PAIR, "sorted(p for p in freqs if freqs[p] == top)[0]", "max(freqs, key=freqs.get)"),
        (BEST_PAIR, "+ freq", "+ 1"),
        (BEST_PAIR, "return None", "return ('', '')"),
        (BEST_PAIR, "    if len(freqs) == 0:\n        return None\n", ""),
        (BEST_PAIR, "range(len(word) - 1)", "range(0, len(word) - 1, 2)"),
        (BEST_PAIR, "range(len(word) - 1)", "range(len(word) - 2)"),
        (BEST_PAIR, "if freqs[p] == top)", "if freqs[p] >= top - 1)"),
        (BEST_PAIR, "top)[0]", "top)[0][::-1]"),
        (BEST_PAIR, "freqs.get(pair, 0) + freq", "freq"),
        (BEST_PAIR, "top)[0]", "top)[:1]"),
        (BEST_PAIR, "return sorted", "words.clear(); return sorted"),
        (BEST_PAIR, "freqs[p] == top)[0]", "freqs[p] == top)[0] if top > 1 else None"),
        (BEST_PAIR, "if freqs[p] == top)", "if freqs[p] == top and p[0] != p[1])"),
        (BEST_PAIR_LOOP, " and pair < best_pair", ""),
        (BEST_PAIR_LOOP, "pair < best_pair", "pair[1] < best_pair[1]"),
        (BEST_PAIR_LOOP, "prev = None\n        for", "prev = locals().get('prev')\n        for"),
        (BEST_PAIR_LOOP, "prev = s", "prev = s if s != prev else None"),
    ],
    "merge_pair": [
        (MERGE, "i += 2", "i += 1"),
        (MERGE, "a + b)", "b + a)"),
        (MERGE, "out.get(new, 0) + freq", "freq"),
        (MERGE, "out.get(new, 0) + freq", "max(out.get(new, 0), freq)"),
        (MERGE, "word[i] == a and word[i + 1] == b", "word[i] + word[i + 1] == a + b"),
        (MERGE, "word[i] == a and word[i + 1] == b", "word[i].endswith(a) and word[i + 1].startswith(b)"),
        (MERGE, "word[i] == a and word[i + 1] == b", "{word[i], word[i + 1]} == {a, b}"),
        (MERGE, "out = {}", "out = words"),
        (MERGE, "out = {}", "out = dict(words)"),
        (MERGE, "return out", "return out if out != words else words"),
        (MERGE, "return out", "return {k: v for k, v in out.items() if len(k) > 1}"),
        (MERGE, "return out", "return sorted(out.items())"),
        (MERGE, "new = tuple(new)", "new = ''.join(new)"),
        (MERGE, "return out", "words.clear(); return out"),
        (MERGE, "        new = tuple(new)", "        new = tuple(new[:-1]) if len(new) > 4 else tuple(new)"),
        (MERGE_TEXT, "re.escape(' '.join(pair))", "' '.join(pair)"),
        (MERGE_TEXT, r"r'(?<!\S)' + ", ""),
        (MERGE_TEXT, r" + r'(?!\S)'", ""),
        (MERGE_TEXT, "' '.join(word)).split()", "' '.join(word), count=1).split()"),
        (MERGE_SPLITS, "sum(ns)", "ns[0]"),
    ],
    "bpe_encode": [
        (BPE, "r < best", "r > best"),
        (BPE, "if best is None or r < best", "if best is None"),
        (BPE, "return parts", "return tuple(parts)"),
        (BPE, "return parts", "return parts + ['</w>']"),
        (BPE, "return parts", "return parts or ['']"),
        (BPE, "return parts", "return [p for p in parts if len(p) > 1]"),
        (BPE, "        parts = new", "        return new"),
        (BPE, "list(word)", "list(word.lower()[::-1])"),
        (BPE, "list(word)", "list(word + '</w>')"),
        (BPE, "merges[best]", "merges.pop(best)"),
        (BPE, "        parts = new", "        parts = new if len(new) > 2 else parts; merges = merges[1:]"),
        (BPE, "range(len(parts) - 1)", "range(len(parts) - 2)"),
        (BPE_PASSES, "in merges:", "in reversed(merges):"),
        (BPE_PASSES, "in merges:", "in sorted(merges):"),
        (BPE_PASSES, "in merges:", "in merges[:2]:"),
        (BPE_PASSES, "        i = 0", "        i = 1"),
        (BPE_PASSES, "return split", "return ' '.join(split)"),
    ],
    "pad_batch": [
        (PADDED_BATCH, "s + [pad_id] * (n - len(s))", "[pad_id] * (n - len(s)) + s"),
        (PADDED_BATCH, "[pad_id] *", "[0] *"),
        (PADDED_BATCH, "max(", "min("),
        (PADDED_BATCH, "for s in sequences], dtype=torch.long)\n    lengths", "for s in sequences])\n    lengths"),
        (PADDED_BATCH, "dtype=torch.long)\n    lengths", "dtype=torch.int32)\n    lengths"),
        (PADDED_BATCH, "dtype=torch.long)\n    return", "dtype=torch.int32)\n    return"),
        (PADDED_BATCH, "[len(s) for s in sequences], dtype", "[n for s in sequences], dtype"),
        (PADDED_BATCH, "return ids, lengths", "return ids, (ids != pad_id).sum(1)"),
        (PADDED_BATCH, "return ids, lengths", "return ids, lengths[:, None]"),
        (PADDED_BATCH, "return ids, lengths", "return lengths, ids"),
        (PADDED_BATCH, "return ids, lengths", "return ids.T, lengths"),
        (PADDED_BATCH, "return ids, lengths", "return {'ids': ids, 'lengths': lengths}"),
        (PADDED_BATCH, "return ids, lengths", "return ids, ids != pad_id"),
        (PADDED_BATCH, "    n = max", "    sequences.sort(key=len)\n    n = max"),
        (PADDED_BATCH, "    n = max", "    sequences = [s for s in sequences if s]\n    n = max"),
        (PADDED_BATCH, "s + [pad_id] * (n - len(s))", "s + [pad_id] * (n - len(s) + 1)"),
        (PADDED_BATCH, "s + [pad_id]", "s.__iadd__([pad_id] * (n - len(s))) + [pad_id]"),
        (PADDED_BATCH, "max([len(s) for s in sequences])", "8 * ((max([len(s) for s in sequences]) + 7) // 8)"),
        (PADDED_TORCH, "rnn.pad_sequence(rows, True, pad_id)", "rnn.pad_sequence(rows, True)"),
        (PADDED_TORCH, "rnn.pad_sequence(rows, True, pad_id)", "rnn.pad_sequence(rows, False, pad_id)"),
    ],
    "spot_the_bug_08": [
        (EMBEDDED, "ids != pad_id", "ids != 0"),
        (EMBEDDED, "ids != pad_id", "ids == pad_id"),
        (EMBEDDED, "[:, None, None, :]", "[:, None, :]"),
        (EMBEDDED, "[:, None, None, :]", "[:, None, None, :].float()"),
        (EMBEDDED, "shape[1] ** 0.5", "shape[0] ** 0.5"),
        (EMBEDDED, "* table.shape[1] ** 0.5", ""),
        (EMBEDDED, "* table", "/ table"),
        (EMBEDDED, "table[ids]", "table[ids].detach()"),
        (EMBEDDED, "table[ids]", "table.float()[ids]"),
        (EMBEDDED, "table[ids]", "ids.unsqueeze(-1) * table[0]"),
        (EMBEDDED, "table[ids]", "table[ids - 1]"),
        (EMBEDDED, "return vectors, mask", "return vectors"),
        (EMBEDDED, "return vectors, mask", "return vectors * mask[:, 0, 0, :, None], mask"),
        (EMBEDDED, "sequence + [pad_id] * (longest - len(sequence))", "[pad_id] * (longest - len(sequence)) + sequence"),
    ],
}

# ---- chapter 07 ------------------------------------------------------------------------------------------------------
SHIFT = """
def shift_right(ids, bos_id):
    result = torch.empty_like(ids)
    result[:, 0] = bos_id
    result[:, 1:] = ids[:, :-1]
    return result
"""
DECODER = (
    "from course_lib.attention import MultiHeadAttention\nfrom course_lib.blocks import FeedForward, LayerNorm\n"
    + """
class DecoderLayer(nn.Module):
    def __init__(self, d_model, n_heads, d_ff, norm="pre"):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError("norm is 'pre' or 'post', not " + repr(norm))
        self.first = norm == "pre"
        self.norm_1, self.norm_2, self.norm_3 = LayerNorm(d_model), LayerNorm(d_model), LayerNorm(d_model)
        self.self_attention = MultiHeadAttention(d_model, n_heads)
        self.cross_attention = MultiHeadAttention(d_model, n_heads)
        self.feed_forward = FeedForward(d_model, d_ff)

    def forward(self, x, memory, self_mask=None, memory_mask=None):
        if self.first:
            y = self.norm_1(x)
            x = x + self.self_attention(y, y, y, self_mask)
            x = x + self.cross_attention(self.norm_2(x), memory, memory, memory_mask)
            return x + self.feed_forward(self.norm_3(x))
        x = self.norm_1(x + self.self_attention(x, x, x, self_mask))
        x = self.norm_2(x + self.cross_attention(x, memory, memory, memory_mask))
        return self.norm_3(x + self.feed_forward(x))
"""
)
COUNT = """
def count_parameters(d_model, n_heads, d_ff, n_layers, vocab_size):
    mha = 4 * d_model * (d_model + 1)
    ffn = d_ff * (d_model + 1) + d_model * (d_ff + 1)
    enc = mha + ffn + 4 * d_model
    dec = 2 * mha + ffn + 6 * d_model
    return n_layers * enc + n_layers * dec + 4 * d_model + vocab_size * d_model
"""
BUG_07 = """
class spot_the_bug_07(nn.Module):
    def __init__(self, vocab_size, d_model, n_heads, n_layers, max_len):
        super().__init__()
        self.d_model = d_model
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.positions = nn.Parameter(torch.zeros(max_len, d_model))
        self.transformer = nn.Transformer(d_model, n_heads, n_layers, n_layers, 4 * d_model, batch_first=True)
        self.output = nn.Linear(d_model, vocab_size)

    def forward(self, source, target_in):
        x = self.embedding(source) * math.sqrt(self.d_model) + self.positions[: source.shape[1]]
        y = self.embedding(target_in) * math.sqrt(self.d_model) + self.positions[: target_in.shape[1]]
        mask = nn.Transformer.generate_square_subsequent_mask(target_in.shape[1], dtype=torch.bool)
        pad = source == 0
        h = self.transformer(x, y, tgt_mask=mask, src_key_padding_mask=pad, memory_key_padding_mask=pad)
        return self.output(h)
"""
RIGHT |= {
    "shift_right": [
        SHIFT,
        "shift_right = lambda ids, bos: torch.stack([torch.full_like(ids[:, 0], bos), *ids[:, :-1].unbind(1)], dim=1)",
        "def shift_right(ids, bos_id):\n    start = ids.new_full((ids.size(0), 1), bos_id)\n    return torch.hstack((start, ids))[:, :-1].contiguous()",
        "def shift_right(ids, bos_id):\n    places = torch.arange(ids.shape[1]) - 1\n    moved = ids[:, places]\n    return torch.where(places < 0, bos_id, moved).to(ids.dtype)",
    ],
    "DecoderLayer": [
        DECODER,
        DECODER.replace("FeedForward, LayerNorm", "LayerNorm").replace("class DecoderLayer", FEED + "\nclass DecoderLayer"),
        DECODER.replace("from course_lib.attention import MultiHeadAttention\n", MHA),
        DECODER.replace("self.self_attention(y, y, y, self_mask)", "self.self_attention(y, k=y, v=y, mask=self_mask)"),
    ],
    "count_parameters": [
        COUNT,
        "count_parameters = lambda d, h, f, n, v: v * d + 4 * d + n * (3 * (4 * d * d + 4 * d) + 2 * (2 * d * f + d + f) + 10 * d)",
        "from course_lib.config import ModelConfig\nfrom course_lib.transformer import Transformer\ndef count_parameters(d, h, f, n, v):\n    with torch.device('meta'):\n        m = nn.Transformer(d, h, 1, 1, f)\n    c = lambda p: sum(q.numel() for q in p.parameters())\n    return n * (c(m.encoder.layers) + c(m.decoder.layers)) + c(m.encoder.norm) + c(m.decoder.norm) + v * d",
    ],
    "spot_the_bug_07": [
        BUG_07,
        BUG_07.replace("torch.zeros(max_len, d_model)", "torch.randn(max_len, d_model)").replace("batch_first=True", "dropout=0.3, activation=F.relu, batch_first=True"),
        BUG_07.replace("nn.Transformer.generate_square_subsequent_mask(target_in.shape[1], dtype=torch.bool)", "nn.Transformer.generate_square_subsequent_mask(target_in.shape[1])").replace("pad = source == 0", "pad = torch.zeros(source.shape).masked_fill(source == 0, -torch.inf)"),
    ],
}
WRONG |= {
    "shift_right": [
        (SHIFT, "= bos_id", "= ids[:, -1]"),
        (SHIFT, "result[:, 1:] = ids[:, :-1]", "result[:, 1:] = ids[:, 1:]"),
        (SHIFT, "torch.empty_like(ids)", "ids"),
        (SHIFT, "torch.empty_like(ids)", "torch.empty(ids.shape, dtype=torch.long)"),
        (SHIFT, "return result", "return result[:, 1:]"),
        (SHIFT, "return result", "return result.float()"),
        (SHIFT, "return result", "return result, ids"),
        (SHIFT, "return result", "return torch.where(ids == 0, 0, result)"),
        (SHIFT, "= bos_id", "= 1"),
        (SHIFT, "result[:, 0] = bos_id\n    result[:, 1:] = ids[:, :-1]", "result[:, -1] = bos_id\n    result[:, :-1] = ids[:, 1:]"),
    ],
    "DecoderLayer": [
        (DECODER, 'norm="pre"', 'norm="post"'),
        (DECODER, "raise ValueError", "raise TypeError"),
        (DECODER, '("pre", "post")', '("pre", "post", "prenorm")'),
        (DECODER, "self.norm_2(x), memory, memory, memory_mask", "self.norm_2(x), self.norm_2(memory), self.norm_2(memory), memory_mask"),
        (DECODER, "self.norm_2(x), memory, memory, memory_mask", "self.norm_2(x), memory, self.norm_2(memory), memory_mask"),
        (DECODER, "self.norm_2(x), memory, memory, memory_mask", "x, memory, memory, memory_mask"),
        (DECODER, "self.norm_2(x), memory, memory, memory_mask", "self.norm_2(x), memory, memory"),
        (DECODER, "(x, memory, memory, memory_mask)", "(x, memory, memory)"),
        (DECODER, "(x, x, x, self_mask)", "(x, x, x)"),
        (DECODER, "(y, y, y, self_mask)", "(y, x, x, self_mask)"),
        (DECODER, "x = x + self.self_attention", "x = y + self.self_attention"),
        (DECODER, "x = x + self.cross_attention(self", "x = self.cross_attention(self"),
        (DECODER, "return x + self.feed_forward(self.norm_3(x))", "return x + self.feed_forward(self.norm_2(x))"),
        (DECODER, "return self.norm_3(x + self.feed_forward(x))", "return x + self.feed_forward(self.norm_3(x))"),
        (DECODER, "self.cross_attention = MultiHeadAttention(d_model, n_heads)", "self.cross_attention = self.self_attention"),
        (DECODER, "self.cross_attention = MultiHeadAttention(d_model, n_heads)", "self.cross_attention = MultiHeadAttention(d_model, 1)"),
        (DECODER, "            y = self.norm_1(x)", "            memory = memory.detach()\n            y = self.norm_1(x)"),
        (DECODER, "        if self.first:\n            y", "        if self_mask is None:\n            self_mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()\n        if self.first:\n            y"),
        (DECODER, "self.feed_forward = ", "self.scale = nn.Parameter(torch.ones(1)); self.feed_forward = "),
        (DECODER, "        if self.first:\n            y", "        x += 0.0 * x; x *= 2; x /= 2\n        memory *= 1.5\n        if self.first:\n            y"),
    ],
    "count_parameters": [
        (COUNT, "2 * mha + ffn + 6", "2 * mha + ffn + 4"),
        (COUNT, "+ 4 * d_model + vocab", "+ 2 * d_model + vocab"),
        (COUNT, "vocab_size * d_model", "2 * vocab_size * d_model"),
        (COUNT, "vocab_size * d_model", "vocab_size * (d_model + 1)"),
        (COUNT, "4 * d_model * (d_model + 1)", "4 * d_model * d_model"),
        (COUNT, "4 * d_model * (d_model + 1)", "4 * d_model * (d_model // n_heads + 1)"),
        (COUNT, "n_layers * enc + n_layers * dec", "n_layers * enc + dec"),
        (COUNT, "d_model * (d_ff + 1)", "d_model * d_ff"),
        (COUNT, "return n_layers", "return 1.0 * n_layers"),
        (COUNT, "return n_layers", "return torch.tensor(1) * n_layers"),
    ],
    "spot_the_bug_07": [
        (BUG_07, "tgt_mask=mask, ", ""),
        (BUG_07, "tgt_mask=mask", "tgt_mask=~mask"),
        (BUG_07, "tgt_mask=mask", "tgt_mask=mask.T"),
        (BUG_07, "pad = source == 0", "pad = source != 0"),
        (BUG_07, ", memory_key_padding_mask=pad", ""),
        (BUG_07, "src_key_padding_mask=pad, ", ""),
        (BUG_07, "source) * math.sqrt(self.d_model)", "source)"),
        (BUG_07, "target_in) * math.sqrt(self.d_model)", "target_in)"),
        (BUG_07, " + self.positions[: target_in.shape[1]]", ""),
        (BUG_07, "self.positions[: target_in.shape[1]]", "self.positions[1 : target_in.shape[1] + 1]"),
        (BUG_07, ", batch_first=True", ""),
        (BUG_07, "batch_first=True", "batch_first=True, norm_first=True"),
        (BUG_07, "n_layers, n_layers, 4", "n_layers, 1, 4"),
        (BUG_07, "4 * d_model", "2048"),
        (BUG_07, "return self.output(h)", "return self.output(h).log_softmax(-1)"),
        (BUG_07, "nn.Linear(d_model, vocab_size)", "nn.Linear(d_model, vocab_size, bias=False)"),
        (BUG_07, "torch.zeros(max_len, d_model)", "torch.zeros(1, max_len, d_model)"),
        (BUG_07, "pad = source == 0", "pad = source == 0; mask = mask & (target_in.shape[1] > 3)"),
    ],
}

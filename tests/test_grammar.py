"""The grammar corpus: what it promises of its sentences, alignments and splits, and a parser that reads them back."""

import hashlib
import re
from collections import Counter
from functools import cache
from itertools import islice

import pytest

from course_lib.corpora import grammar
from course_lib.corpora.grammar import LEXICON, MAX_WORDS, Entry, generate
from course_lib.corpora.grammar.derive import AGREEMENT, GRAMMAR, Tree, Word, entries, pair_of

SIZES = {"train": 80_000, "val": 1000, "test": 1000, "compositional": 1000, "long": 500}
FINGERPRINT = "9e379e7105591014adb2324368172400ab8c15891896e03ef0e67df857bd4274"


@pytest.fixture(scope="module")
def corpus():
    return generate()


@pytest.fixture(scope="module")
def sample():
    return list(islice(grammar.derivations(seed=7), 12_000))


# The corpus and its splits


def fingerprint(corpus) -> str:
    digest = hashlib.sha256()
    for name, pairs in corpus.splits.items():
        for pair in pairs:
            digest.update(f"{name}\t{pair.source}\t{pair.target}\t{sorted(pair.alignment)}\n".encode())
    return digest.hexdigest()


def test_same_corpus_everywhere(corpus):
    assert fingerprint(corpus) == FINGERPRINT


def test_seed_and_size_are_arguments(corpus):
    other = generate(seed=4, n_train=300)
    assert len(other.splits["train"]) == 300
    assert other.splits["long"] != corpus.splits["long"]
    with pytest.raises(ValueError, match="n_train=0"):
        generate(n_train=0)


def test_sizes_and_direction(corpus):
    assert (corpus.name, corpus.direction) == ("grammar", "en-zh")
    assert {name: len(pairs) for name, pairs in corpus.splits.items()} == SIZES


def test_sentences_are_distinct_in_both_languages(corpus):
    pairs = [pair for split in corpus.splits.values() for pair in split]
    assert len({pair.source for pair in pairs}) == len({pair.target for pair in pairs}) == len(pairs)


def test_grammar_has_a_hundred_thousand_pairs(corpus):
    sources = {pair.source for split in corpus.splits.values() for pair in split}
    sources.update(d.pair.source for d in islice(grammar.derivations(seed=2), 35_000))
    assert len(sources) > 100_000


def test_long_is_longer_on_both_sides(corpus):
    def lengths(split):
        return [len(text.split()) for pair in corpus.splits[split] for text in (pair.source, pair.target)]

    assert max(max(lengths(split)) for split in SIZES if split != "long") == MAX_WORDS
    assert min(lengths("long")) > MAX_WORDS


def test_most_training_sentences_are_short(corpus):
    counts = [len(pair.source.split()) for pair in corpus.splits["train"]]
    assert sum(4 <= count <= 14 for count in counts) > 0.95 * len(counts)


def test_compositional_is_held_out(corpus):
    """Each sentence has a combination that training never has, of two parts that training often has."""
    for split, sentences in (("train", 100), ("val", 10), ("test", 10), ("long", 5), ("compositional", 75)):
        for pair in corpus.splits[split][:sentences]:
            trees = parse_english(pair.source)
            assert trees
            for tree in trees:
                held_out = any(map(grammar.is_held_out, grammar.combinations(tree)))
                assert held_out is (split == "compositional"), pair


def test_parts_of_held_out_combinations_are_common_in_training(corpus):
    target_words = Counter(word for pair in corpus.splits["train"] for word in pair.target.split())
    held_out = Counter()
    for pair in corpus.splits["compositional"][:150]:
        for tree in parse_english(pair.source):
            held_out.update(filter(grammar.is_held_out, grammar.combinations(tree)))
    assert len(held_out) > 30
    chinese = {entry.english: entry.chinese for entry in LEXICON if entry.category in ("noun", "adjective")}
    for combination in held_out:
        for part in combination.split("+"):
            word = part.partition("/")[2] or chinese.get(part)
            assert word is None or target_words[word] >= 50, combination


def test_reverse():
    pair = grammar.Pair("a b", "c", frozenset({(1, 0)}))
    assert grammar.reverse(pair) == grammar.Pair("c", "a b", frozenset({(0, 1)}))
    assert grammar.reverse(grammar.reverse(pair)) == pair


# The lexicon and the constructions


def test_size_of_the_grammar():
    assert len(LEXICON) >= 400
    assert len(grammar.constructions()) >= 30


def entries_of(tree: Tree):
    for kid in tree.kids.values():
        yield from entries_of(kid) if isinstance(kid, Tree) else [kid]


def test_every_entry_and_every_construction_occurs(corpus, sample):
    chinese = {word for split in corpus.splits.values() for pair in split for word in pair.target.split()}
    assert not [entry.chinese for entry in LEXICON if entry.chinese not in chinese]
    drawn = {entry for d in sample for entry in entries_of(d.tree)}
    content = [entry for entry in LEXICON if entry.category not in ("function", "measure")]
    assert len(content) > 500
    assert not [entry.english for entry in content if entry not in drawn]
    assert {c.name for c in grammar.constructions()} == {d.construction for d in sample}


def test_examples_of_constructions():
    names = [c.name for c in grammar.constructions()]
    assert len(names) == len(set(names))
    for example in grammar.constructions():
        assert example.chinese in {pair_of(tree).target for tree in parse_english(example.english)}


def test_every_chinese_word_is_in_the_lexicon(corpus):
    known = {entry.chinese for entry in LEXICON} | {entry.bare for entry in LEXICON} | set("。？，")
    assert {word for split in corpus.splits.values() for pair in split for word in pair.target.split()} <= known


TONES = "āáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜ"


def test_pinyin_has_a_syllable_for_every_character():
    for entry in LEXICON:
        plain = entry.pinyin
        for i, toned in enumerate(TONES):
            plain = plain.replace(toned, "aeiouü"[i // 4]).replace(toned.upper(), "AEIOU"[i // 4] if i < 20 else "Ü")
        vowels = re.findall(r"iao|uai|io|ia|ie|iu|ua|uo|ui|ue|üe|ai|ei|ao|ou|[aeiouü]", plain.lower())
        assert len(vowels) == len(entry.chinese), (entry.chinese, entry.pinyin, vowels)
        assert any(letter.lower() in TONES for letter in entry.pinyin) or entry.category == "function", entry


@pytest.mark.parametrize(
    ("text", "expected"),
    [("他 买 了 书 。", "tā mǎi le shū 。"), ("汤姆", "Tāngmǔ"), ("喜欢 X", "xǐhuan X"), ("睡", "shuì"), ("", "")],
)
def test_pinyin(text, expected):
    assert grammar.pinyin(text) == expected


# Text


def test_chinese_splits_as_it_was_joined(corpus):
    for split in corpus.splits.values():
        for pair in split:
            assert grammar.segment_chinese(grammar.join_chinese(pair.target)) == pair.target


def test_english_splits_as_it_was_joined(corpus):
    for split in corpus.splits.values():
        for pair in split[:5000]:
            assert grammar.tokenize_english(grammar.join_english(pair.source)) == pair.source


def test_unknown_text():
    assert grammar.segment_chinese("他买了龙书?") == "他 买 了 龙 书 ？"
    assert grammar.segment_chinese("") == grammar.tokenize_english("") == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("He bought a book.", "He bought a book ."),
        ("Tom's sister doesn't like tea!", "Tom 's sister does not like tea !"),
        ("She's tired, isn’t she?", "She is tired , is not she ?"),
        ("I can't come; I won't, I'm ill", "I cannot come; I will not , I am ill"),
        ("At seven o'clock let's go.", "At seven o'clock let 's go ."),
    ],
)
def test_tokenize_english(text, words):
    assert grammar.tokenize_english(text) == words


# Alignment

UNALIGNED_ENGLISH = set(
    "a an the of to do does did is are am was were in at on it as that has have be and for not there".split()
)
UNALIGNED_ENGLISH |= {"been", ",", "cost", "costs", "than", "us", "will", "is"}
UNALIGNED_CHINESE = set("了 的 吗 把 很 在 是 就 得 过 里 ， 给 所以".split())


def test_alignments_are_in_range_and_total(corpus):
    """Every content word is aligned on both sides; only function words and commas may stand alone."""
    for split in corpus.splits.values():
        for pair in split:
            english, chinese = pair.source.split(), pair.target.split()
            assert all(0 <= i < len(english) and 0 <= j < len(chinese) for i, j in pair.alignment)
            alone = {word.lower() for i, word in enumerate(english) if i not in {i for i, _ in pair.alignment}}
            assert alone <= UNALIGNED_ENGLISH, (alone - UNALIGNED_ENGLISH, pair)
            alone = {word for j, word in enumerate(chinese) if j not in {j for _, j in pair.alignment}}
            assert alone <= UNALIGNED_CHINESE, (alone - UNALIGNED_CHINESE, pair)


def test_aligned_words_translate_each_other(corpus):
    """What a name, noun, adjective or color is aligned with is its own translation, looked up in the lexicon."""
    kinds = {"noun", "adjective", "name", "color", "surname", "title", "ordinal", "season"}
    english_of = {}
    for entry in LEXICON:
        if entry.category in kinds:
            words = {word for form in entry.forms.values() for word in form}
            english_of.setdefault(entry.chinese, set()).update(words)
    for entry in LEXICON:
        if entry.category not in kinds:
            english_of.pop(entry.chinese, None)
            english_of.pop(entry.bare, None)
    english_of["大"].add("older")
    assert len(english_of) > 250
    for pair in corpus.splits["test"]:
        english, chinese = pair.source.split(), pair.target.split()
        for j, word in enumerate(chinese):
            if word in english_of:
                aligned = {english[i] for i, k in pair.alignment if k == j}
                assert aligned and aligned <= english_of[word], (word, aligned, pair)


def test_sentences_are_really_reordered(corpus):
    crossing = 0
    for pair in corpus.splits["test"]:
        links = sorted(pair.alignment)
        crossing += any(a < c and b > d for a, b in links for c, d in links)
    assert crossing > 0.6 * len(corpus.splits["test"])


# Good sentences

MEASURE_WORDS = {  # written down apart from the lexicon
    "本": "书 小说 杂志 词典 笔记本",
    "只": "猫 狗 鸟 兔子 羊 鸡 鸭子 猴子 熊猫 老虎 狮子",
    "头": "牛 猪 大象",
    "匹": "马",
    "条": "鱼 蛇 裙子 连衣裙 裤子 围巾 毛巾 河 路",
    "张": "桌子 书桌 床 沙发 票 照片 地图 明信片 邮票",
    "把": "椅子 雨伞 钥匙 刀 吉他 小提琴",
    "辆": "汽车 自行车 卡车 摩托车 公共汽车 出租车",
    "位": "老师 医生 护士 司机 厨师 警察 律师 工程师 作家 歌手 科学家 农民 经理 服务员 记者 画家 演员 客人",
    "个": "学生 男孩 女孩 孩子 朋友 同学 同事 邻居 苹果 橙子 梨 桃子 西瓜 西红柿 土豆 鸡蛋 饺子 包子 三明治 汉堡 "
    "故事 问题 包 杯子 盘子 碗 瓶子 球 玩具 钱包 盒子 箱子 书架 柜子 湖 房间 村子 车站 机场 市场 公园 动物园 邮局 "
    "花园 哥哥 弟弟 姐姐 妹妹 儿子 女儿",
    "根": "香蕉 胡萝卜",
    "块": "饼干 手表 面包 蛋糕 巧克力 奶酪 牛肉",
    "碗": "米饭 面条",
    "杯": "茶 咖啡 水 牛奶 果汁",
    "瓶": "柠檬水 矿泉水 可乐",
    "双": "鞋 袜子",
    "副": "眼镜 手套",
    "件": "衬衫 大衣 毛衣 夹克 礼物",
    "顶": "帽子",
    "枚": "戒指",
    "份": "报纸",
    "封": "信 邮件",
    "篇": "文章",
    "首": "诗 歌",
    "部": "电影 手机",
    "场": "比赛",
    "幅": "画",
    "台": "电脑 照相机 冰箱 电视机 洗衣机",
    "支": "钢笔 铅笔",
    "面": "镜子",
    "盏": "灯",
    "扇": "门 窗户",
    "列": "火车",
    "架": "飞机 钢琴",
    "艘": "船",
    "座": "山 房子 桥 塔 寺庙 城市 图书馆 博物馆 剧院",
    "棵": "树",
    "朵": "花",
    "间": "厨房 办公室 教室",
    "家": "书店 医院 银行 饭馆 咖啡馆 酒店 电影院 超市 商店 工厂 公司",
}


def test_measure_words(corpus):
    """After a number or 这, 那, 几, 哪 comes a measure word, and it is the one of the noun it is aligned with."""
    nouns = {entry.chinese for entry in LEXICON if entry.category == "noun"}
    right = {noun: measure for measure, row in MEASURE_WORDS.items() for noun in row.split()}
    seen = set()
    for split in corpus.splits.values():
        for pair in split:
            chinese = pair.target.split()
            english_of = {j: {i for i, k in pair.alignment if k == j} for j in range(len(chinese))}
            for j, word in enumerate(chinese[:-1]):
                if word not in {"一", "两", "三", "四", "五", "六", "七", "八", "九", "十", "这", "那", "几", "哪"}:
                    continue
                same = [k for k in range(j + 2, len(chinese)) if chinese[k] in nouns]
                same = [k for k in same if english_of[k] & english_of[j + 1] or chinese[j + 1] in "杯瓶碗块双副条"][:1]
                if same:
                    noun = chinese[same[0]]
                    assert right[noun] == chinese[j + 1], pair
                    seen.add(noun)
    assert len(seen) > 150


def test_two_is_liang_before_a_measure_word(corpus):
    for pair in corpus.splits["train"]:
        assert "二" not in pair.target.split()
        assert ("两" in pair.target.split()) == bool(
            re.search(r"\b(two|twice)\b(?! (hundred|thousand))", pair.source.lower())
        ), pair


def test_chinese_particles(corpus):
    for split in corpus.splits.values():
        for pair in split:
            text = grammar.join_chinese(pair.target)
            assert "不有" not in text and "没不" not in text and "了了" not in text and "很很" not in text
            assert not re.search(r"比(?!赛)[^，]*(很|非常)", text), text
            assert not re.search(r"没(?!有)[^，。？]*[^弄]了[，。？]", text) or "因为" in text or "如果" in text, text
            if pair.source.split()[0] in ("Do", "Does", "Did", "Is", "Are", "Am", "Has", "Have", "May", "Can", "Will"):
                assert text.endswith(("吗？", "。")) or "还是" in text, text


AN_WORDS = set(
    "an apple orange egg umbrella old engineer actor article email elephant interesting easy hour office "
    "airport older uncle aunt".split()
)


def test_a_and_an(corpus):
    checked = Counter()
    for split in corpus.splits.values():
        for pair in split:
            for article, word in re.findall(r"\b(an?) ([a-z]+)", pair.source.lower()):
                assert (article == "an") == (word in AN_WORDS), pair.source
                checked[article] += 1
    assert min(checked.values()) > 1000


SINGULAR, PLURAL = {"he", "she"}, {"they", "we", "you", "i"}


def test_english_agrees(corpus):
    """A pronoun at the beginning and the word after it."""
    for pair in corpus.splits["train"]:
        first, second, *_ = pair.source.lower().split()
        if first in SINGULAR:
            assert second not in {"are", "am", "were", "have", "do"}, pair
        elif first in PLURAL:
            assert second not in {"is", "has", "does"} and (first == "i" or second != "am"), pair


def test_english_begins_with_a_capital_and_ends_with_a_mark(corpus):
    ends = {".": "。", "?": "？"}
    for split in corpus.splits.values():
        for pair in split:
            assert pair.source[0].isupper()
            assert ends[pair.source[-1]] == pair.target[-1]
            assert " i " not in pair.source


# A parser: reads a sentence with the rules, apart from the code that writes sentences


def matches(words: tuple[str, ...], start: int, kid: Entry, place: Word, side: str) -> int | None:
    """Where the entry ends if it stands at `start` as the template wants it."""
    if side == "chinese":
        form = {"measure": kid.measure, "bare": kid.bare}.get(place.form, kid.chinese)
        return start + 1 if words[start : start + 1] == (form,) else None
    wanted = ["base", "third"] if place.agrees else list(kid.forms) if place.form == "*" else [place.form]
    for form in wanted:
        forms = tuple(word.lower() for word in kid.forms[form])
        if words[start : start + len(forms)] == forms:
            return start + len(forms)
    return None


def parse(sentence: str, side: str) -> list[Tree]:
    """All derivations of a sentence that the grammar allows, `side` being "english" or "chinese"."""
    words = tuple(sentence.lower().split())
    if side == "english":
        words = tuple("a" if word == "an" else word for word in words)

    @cache
    def phrase(name: str, start: int) -> list[tuple[int, Tree]]:
        found = []
        for rule in GRAMMAR[name] + (GRAMMAR["Complex"] if name == "Simple" else []):
            slots = {slot.name: slot for slot in rule.slots}
            states: list[tuple[int, dict]] = [(start, {})]
            for place in getattr(rule, side):
                after = []
                for at, kids in states:
                    if not place.slot:
                        options = AGREEMENT[place.text].values() if place.agrees else [place.text]
                        if at < len(words) and words[at] in options:
                            after.append((at + 1, kids))
                        continue
                    slot = slots[place.slot]
                    if slot.kind[0].isupper():
                        for end, tree in phrase(slot.kind, at):
                            if kids.get(slot.name, tree) == tree:
                                after.append((end, {**kids, slot.name: tree}))
                        continue
                    known = [kids[slot.name]] if slot.name in kids else by_category(slot.kind)
                    for entry in known:
                        end = matches(words, at, entry, place, side)
                        if end is not None:
                            after.append((end, {**kids, slot.name: entry}))
                states = after
                if not states:
                    break
            found += [(end, Tree(rule, kids, None)) for end, kids in states if len(kids) == len(slots)]
        return found

    trees = [asked(tree, None) for end, tree in phrase("Sentence", 0) if end == len(words)]
    trees = [tree for tree in trees if tree]
    return [tree for tree in trees if getattr(pair_of(tree), "source" if side == "english" else "target") == sentence]


@cache
def by_category(category: str) -> list[Entry]:
    return [entry for entry in LEXICON if entry.category == category]


def asked(tree: Tree, source) -> Tree | None:
    """The tree with what each phrase was asked for, or None where a word does not fit."""
    kids = dict(tree.kids)
    for slot in tree.rule.slots:
        wanted = source
        if slot.other:
            wanted = kids.get(slot.other, slot.other)
            if isinstance(wanted, Tree):
                wanted = wanted.kids["N"]
        wanted = wanted if slot.relation else None
        if slot.kind[0].isupper():
            kids[slot.name] = asked(kids[slot.name], wanted)
            if kids[slot.name] is None:
                return None
        elif kids[slot.name] not in entries(slot, wanted):
            return None
    return Tree(tree.rule, kids, source)


def parse_english(sentence: str) -> list[Tree]:
    return parse(sentence, "english")


def test_parser_reads_what_the_grammar_writes(sample):
    """English has one translation, Chinese too, and both are the pair's; its own tree is among those found."""
    for construction, pair, tree in sample[:150]:
        from_english, from_chinese = parse_english(pair.source), parse(pair.target, "chinese")
        assert {pair_of(found).target for found in from_english} == {pair.target}, construction
        assert pair.source in {pair_of(found).source for found in from_chinese}, construction
        assert tree in from_english and tree in from_chinese
        assert pair.alignment in {pair_of(found).alignment for found in from_english}


def test_parser_reads_long_sentences(corpus):
    for pair in corpus.splits["long"][:15]:
        assert pair.target in {pair_of(tree).target for tree in parse_english(pair.source)}


@pytest.mark.parametrize(
    "sentence",
    [
        "He buy a book yesterday .",
        "She is drinking a book .",
        "Tom bought three book yesterday .",
        "I does not like cats .",
    ],
)
def test_parser_refuses_other_sentences(sentence):
    assert parse_english(sentence) == []

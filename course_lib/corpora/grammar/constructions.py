"""The rules of the synchronous grammar: every construction writes its English and its Chinese side by side.

A line `[Name]` opens the rules of a phrase; each rule is `name | English | Chinese | slots`.

Slots, filled from left to right:
    S=Person          a phrase
    V=verb.event      a lexical entry of this category with all these classes (`!class`: without it)
    O=Some@V          a phrase whose noun belongs to a class that the entry V takes; `@food+drink`: to one of these
    N=noun.count@     an entry of one of the classes that the phrase was asked for
    A=color~N         an entry that goes with N;  U=unit<N  the unit that measures N
    agr=plural  differ=S,W;O,K  weight=3    agreement; phrases that must differ; how often it is drawn (1)

Words in the templates:
    S V               what the slot holds;  V:past N:plural P:object  in this form;  N:measure  its measure word
    V:*               in the form the whole phrase is asked for
    V@S be@S was@S do@S have@S     present or past, agreeing with S
    in/1 … 里/1        words with the same label are aligned; 的/P is aligned with slot P
    the 了             words without a label have no counterpart
"""

PHRASES = """
[Named]
name | P | P | P=name weight=5
title | T F | F T | T=title F=surname weight=2
kin | P:poss K | P K | P=pronoun.single K=noun.kin agr=K weight=2
our_kin | P:poss K | P 的/P K | P=pronoun.plural K=noun.kin agr=K
name_kin | P 's/1 K | P 的/1 K | P=name K=noun.kin
friend | P:poss N | P 的/P N | P=pronoun N=noun.circle agr=N
this_person | this/1 N | 这/1 N:measure N | N=noun.figure

[Third]
named | X | X | X=Named weight=5
role | the N | N | N=noun.role

[Both]
pronoun | P | P | P=pronoun.plural weight=2
two_names | P and/1 Q | P 和/1 Q | P=name Q=name differ=P,Q agr=plural weight=2
parents | P:poss parents/1 | P 父母/1 | P=pronoun.single agr=plural
our_parents | P:poss parents/1 | P 的/P 父母/1 | P=pronoun.plural agr=plural

[Group]
two_names | P and/1 Q | P 和/1 Q | P=name Q=name differ=P,Q agr=plural weight=2
parents | P:poss parents/1 | P 父母/1 | P=pronoun.single agr=plural
our_parents | P:poss parents/1 | P 的/P 父母/1 | P=pronoun.plural agr=plural
plural_role | the N:plural | N 们/N | N=noun.many!circle agr=plural
plural_circle | P:poss N:plural | P 的/P N 们/N | P=pronoun N=noun.circle.many agr=plural

[Single]
pronoun | P | P | P=pronoun.single weight=2
named | X | X | X=Named weight=3

[Person]
pronoun | P | P | P=pronoun weight=5
third | X | X | X=Third weight=7
group | X | X | X=Group agr=plural

[Whom]
pronoun | P:object | P | P=pronoun weight=2
third | X | X | X=Third weight=5

[Owner]
pronoun | P:poss | P 的/P | P=pronoun weight=3
name | P 's/1 | P 的/1 | P=name weight=2
kin | P:poss K 's/1 | P K 的/1 | P=pronoun.single K=noun.kin

[Lots]
many | many/1 N:plural | 很多/1 N | N=noun.count@
some | some/1 N:plural | 一些/1 N | N=noun.count@

[Modest]
a | a/1 N | 一/1 N:measure N | N=noun.count@ weight=5
two | Q N:plural | Q N:measure N | Q=number.pairwise N=noun.count@ weight=2
a_new | a/1 A N | 一/1 N:measure A N | N=noun.count@ A=adjective.bare~N
a_beautiful | a/1 A N | 一/1 N:measure A 的 N | N=noun.count@ A=adjective.de~N
a_red | a/1 C N | 一/1 N:measure C 的 N | N=noun.count@ C=color~N
unit | a/1 U of N | 一/1 U N | N=noun.mass@ U=unit<N agr=third weight=2
pair | a/1 U of N | 一/1 U N | N=noun.pair@ U=unit<N agr=third

[Peer]
pronoun | P | P | P=pronoun.single weight=3
name | P | P | P=name weight=3
sibling | P:poss K | P K | P=pronoun.single K=noun.sibling agr=K weight=2

[Recipient]
pronoun | P:object | P | P=pronoun!hearer weight=2
third | X | X | X=Third weight=3

[Senior]
pronoun | P | P | P=pronoun.single weight=3
name | P | P | P=name weight=3
sibling | P:poss K | P K | P=pronoun.single K=noun.senior agr=K weight=2

[PeerWhom]
pronoun | P:object | P | P=pronoun.single weight=3
name | P | P | P=name weight=3
sibling | P:poss K | P K | P=pronoun.single K=noun.junior weight=2

[Other]
pronoun | P | P | P=pronoun!speaker weight=5
third | X | X | X=Third weight=7
group | X | X | X=Group agr=plural

[OtherOne]
pronoun | P | P | P=pronoun.single!speaker weight=2
named | X | X | X=Named weight=3

[Destination]
city | to C | C | C=noun.city weight=3
country | to C | C | C=noun.country weight=2
sight | to this/1 N | 这/1 N:measure N | N=noun.goal.visited

[Routine]
act | V:* | V | V=verb.act.routine
do | V:* O | V O | V=verb.daily.routine O=Generic@V
learn | V:* O | V O | V=verb.learning.routine O=Learned@V

[Errand]
get | V:* O | V O | V=verb.want O=Modest@V weight=4
visit | V:* O | V O | V=verb.deed O=Third
go | V:* G | V G | V=verb.go G=Local weight=2

[Duty]
act | V:* | V | V=verb.act.routine
learn | V:* O | V O | V=verb.years O=Learned@V
go | V:* G | V G | V=verb.go G=Local
visit | V:* O | V O | V=verb.deed O=Third

[Pet]
the | the N | N | N=noun.sleeper weight=2
mine | W N | W N | W=Owner N=noun.sleeper

[Some]
a | a/1 N | 一/1 N:measure N | N=noun.count@ weight=5
few | Q N:plural | Q N:measure N | Q=number.few N=noun.count!big@ weight=4
few_big | Q N:plural | Q N:measure N | Q=number.pairwise N=noun.count.big@
a_new | a/1 A N | 一/1 N:measure A N | N=noun.count@ A=adjective.bare~N weight=2
two_new | Q A N:plural | Q N:measure A N | Q=number.pairwise N=noun.count@ A=adjective.bare~N
a_beautiful | a/1 A N | 一/1 N:measure A 的 N | N=noun.count@ A=adjective.de~N weight=2
a_red | a/1 C N | 一/1 N:measure C 的 N | N=noun.count@ C=color~N
unit | a/1 U of N | 一/1 U N | N=noun.mass@ U=unit<N agr=third weight=3
units | Q U:plural of N | Q U N | Q=number.pairwise N=noun.mass@ U=unit<N agr=plural weight=2
pair | a/1 U of N | 一/1 U N | N=noun.pair@ U=unit<N agr=third weight=2
several | several/1 N:plural | 几/1 N:measure N | N=noun.count!big@
many | many/1 N:plural | 很多/1 N | N=noun.count!big@
some | some/1 N:plural | 一些/1 N | N=noun.count!big@

[One]
a | a/1 N | 一/1 N:measure N | N=noun.count@ weight=5
a_new | a/1 A N | 一/1 N:measure A N | N=noun.count@ A=adjective.bare~N
a_beautiful | a/1 A N | 一/1 N:measure A 的 N | N=noun.count@ A=adjective.de~N
a_red | a/1 C N | 一/1 N:measure C 的 N | N=noun.count@ C=color~N

[Plain]
a | a N | N | N=noun.count@ weight=3
mass | N | N | N=noun.mass@ weight=2
pair | N | N | N=noun.pair@

[Generic]
plural | N:plural | N | N=noun.count@ weight=3
mass | N | N | N=noun.mass@ weight=2
pair | N | N | N=noun.pair@

[Learned]
mass | N | N | N=noun!count@ weight=3
instrument | the N | N | N=noun.instrument@

[This]
this | this/1 N | 这/1 N:measure N | N=noun.count@ weight=2
that | that/1 N | 那/1 N:measure N | N=noun.count@ weight=2
these | these/1 N:plural | 这些/1 N | N=noun.count@ agr=plural
those | those/1 N:plural | 那些/1 N | N=noun.count@ agr=plural
this_unit | this/1 U of N | 这/1 U N | N=noun.mass@ U=unit<N agr=third
that_pair | that/1 U of N | 那/1 U N | N=noun.pair@ U=unit<N agr=third

[The]
the | the N | N | N=noun@ weight=4
mine | W N | W N | W=Owner N=noun@ weight=2
that | that/1 N | 那/1 N:measure N | N=noun.count@
new | the A N | A N | N=noun.count@ A=adjective.bare~N

[ThisNew]
this | D | D | D=This@ agr=D weight=4
this_new | this/1 A N | 这/1 N:measure A N | N=noun.count@ A=adjective.bare~N

[ThisOne]
this | this/1 N | 这/1 N:measure N | N=noun.count@
that | that/1 N | 那/1 N:measure N | N=noun.count@

[Thing]
this | D | D | D=This@ agr=D weight=3
mine | W N | W N | W=Owner N=noun!public!mass!zoo!person@ agr=N weight=3

[Such]
that_did | the N that/1 S V:past | S V 的/1 N | N=noun.count@ V=verb.relative~N S=Person

[Who]
doing | the N who/1 be@N/2 D:ing | 正在/2 D 的/1 N | N=noun.figure D=Doing weight=2
wearing | the N who/1 be@N V:ing/2 O | V/2 着/2 O 的/1 N | N=noun.figure V=verb.wearing O=One@V
bought | the N who/1 V:past O | V 了 O 的/1 N | N=noun.role V=verb.shopping O=Some@V

[Times]
once | once/1 | 一/1 次/1 |
twice | twice/1 | 两/1 次/1 |
times | Q times/1 | Q 次/1 | Q=number.few!pairwise weight=3

[PastTime]
word | T | T | T=time.past weight=4
part | D E | D E | D=time.past.day E=time.part
ago | Q U:plural ago/1 | Q U 前/1 | Q=number.few U=period.ago.plain
ago_counted | Q U:plural ago/1 | Q 个/U U 前/1 | Q=number.few U=period.ago.counted
weekday | last/1 D | 上/1 D | D=weekday

[RecentTime]
word | T | T | T=time.past.day weight=3
part | D E | D E | D=time.past.day E=time.part weight=2
this_part | this/1 E | 今天/1 E | E=time.part!late
ago | Q U:plural ago/1 | Q U 前/1 | Q=number.few U=period.ago.plain.daily
hours_ago | Q U:plural ago/1 | Q 个/U U 前/1 | Q=number.few U=period.counted.short
weekday | last/1 D | 上/1 D | D=weekday weight=2

[DayTime]
word | T | T | T=time.past.day weight=3
part | D E | D E | D=time.past.day E=time.part weight=2
this_part | this/1 E | 今天/1 E | E=time.part!late
weekday | last/1 D | 上/1 D | D=weekday weight=2

[FutureTime]
word | T | T | T=time.future weight=4
part | D E | D E | D=time.future.day E=time.part
weekday | next/1 D | 下/1 D | D=weekday
tonight | this/1 evening/2 | 今天/1 晚上/2 |

[SoonTime]
word | T | T | T=time.future.soon weight=3
part | D E | D E | D=time.future.day E=time.part weight=2
weekday | next/1 D | 下/1 D | D=weekday
tonight | this/1 evening/2 | 今天/1 晚上/2 |

[DailyTime]
word | T | T | T=time.habit.daily weight=2
weekday | every/1 D | 每/1 个/1 D | D=weekday

[HabitTime]
word | T | T | T=time.habit weight=3
part | every/1 E | 每天/1 E | E=time.part
weekday | every/1 D | 每/1 个/1 D | D=weekday

[Duration]
hours | Q U:plural | Q U | Q=number.few U=period.plain@
counted | Q U:plural | Q 个/U U | Q=number.few U=period.counted@
an_hour | a/1 U | 一/1 U | U=period.plain@
a_week | a/1 U | 一/1 个/U U | U=period.counted@

[Hours]
hours | Q U:plural | Q 个/U U | Q=number.few U=period.counted.short

[Clock]
full | at H o'clock/1 | H 点/1 | H=hour
half | at half/1 past/2 H | H 点/2 半/1 | H=hour

[Site]
in | in/1 the N | 在/1 N | N=noun.site.in@
at | at/1 the N | 在/1 N | N=noun.site.at@
room | in/1 the N | 在/1 N 里/1 | N=noun.room@

[Spot]
in | in the N | N | N=noun.site.in@
at | at the N | N | N=noun.site.at@
room | in the N | N 里 | N=noun.room@

[Where]
on | R the N | N R | R=relation.surface N=noun.surface weight=3
in | R the N | N R | R=relation.inside N=noun.container weight=2
owned | R W N | W N R | R=relation.surface W=Owner N=noun.surface

[Near]
beside | R the N | N R | R=relation.beside N=noun.site
around | R the N | N R | R=relation.around N=noun.site

[Beside]
beside | R the N | N R | R=relation.beside N=noun.landmark

[Inside]
in | R the N | N R | R=relation.inside N=noun@

[Goal]
site | to the N | N | N=noun.goal weight=3
city | to C | C | C=noun.city weight=2
country | to C | C | C=noun.country

[Local]
site | to the N | N | N=noun.goal

[Act]
act | V:* | V | V=verb.act!moment weight=2
do | V:* O | V O | V=verb.daily O=Generic@V weight=3
learn | V:* O | V O | V=verb.learning O=Learned@V weight=2
go | V:* G | V G | V=verb.go G=Local

[Doing]
act | V:* | V | V=verb.act weight=2
do | V:* O | V O | V=verb.prog O=Plain@V weight=4
learn | V:* O | V O | V=verb.learning O=Learned@V weight=2

[Plan]
get | V:* O | V O | V=verb.want O=Modest@V weight=4
visit | V:* O | V O | V=verb.deed O=Third
go | V:* G | V G | V=verb.go G=Goal weight=2
learn | V:* O | V O | V=verb.learning.lasting O=Learned@V
act | V:* | V | V=verb.act
"""

SIMPLE = """
[Simple]
habit | S A@S T | S T A | S=Person A=Act T=HabitTime weight=4
habit_adverb | S D A@S | S D A | S=Person D=adverb.often A=Act weight=3
habit_dining | S V@S O L T | S T L V O | S=Person V=verb.dine O=Generic@V L=Site@dining T=HabitTime
habit_desk | S V@S O L T | S T L V O | S=Person V=verb.daily.desk O=Generic@V L=Site@study T=HabitTime
clock | S V@S K T | S T K V | S=Person V=verb.clock K=Clock T=DailyTime
hours | S V@S from/1 H to/2 K T | S T 从/1 H 点/H V 到/2 K 点/K \
    | S=Person V=verb.toil H=hour K=hour T=DailyTime differ=H,K
past | S V:past O T | S T V 了 O | S=Person V=verb.event O=Some@V T=RecentTime weight=7
past | S V:past O T | S T V 了 O | S=Person V=verb.memorable O=Some@V T=PastTime weight=3
past_fronted | T S V:past O | T S V 了 O | S=Person V=verb.event O=Some@V T=RecentTime weight=3
past_dining | S V:past O L T | S T L V 了 O | S=Person V=verb.dine O=Some@V L=Site@dining T=DayTime
past_desk | S V:past O L T | S T L V 了 O | S=Person V=verb.desk O=Some@V L=Site@study T=DayTime
past_shop | S V:past O L | S L V 了 O | S=Person V=verb.shopping O=Some@V L=Site@shop weight=2
past_act | S V:past L T | S T L V 了 | S=Person V=verb.outdoor L=Site@green T=DayTime
past_go | S V:past G T | S T V 了 G | S=Person V=verb.go G=Goal T=PastTime
past_not | S did not/1 V:base O T | S T 没/1 V O | S=Person V=verb.asked O=Plain@V T=DayTime weight=3
past_not_go | S did not/1 V:base G T | S T 没/1 V G | S=Person V=verb.go G=Goal T=PastTime
progressive | S be@S/1 D:ing | S 正在/1 D | S=Person D=Doing weight=4
progressive_dining | S be@S/1 V:ing O L | S 正在/1 L V O | S=Person V=verb.dine O=Plain@V L=Spot@dining
progressive_desk | S be@S/1 V:ing O L | S 正在/1 L V O | S=Person V=verb.desk O=Plain@V L=Spot@study
progressive_work | S be@S/1 V:ing L | S 正在/1 L V | S=Person V=verb.indoor L=Spot@workplace
progressive_act | S be@S/1 V:ing L | S 正在/1 L V | S=Person V=verb.outdoor L=Spot@green
wearing | S be@S V:ing O | S V 着/V O | S=Single V=verb.wearing O=One@V weight=2
already | S have@S already/1 V:pp O | S 已经/1 V 了 O | S=Person V=verb.event O=Some@V weight=2
not_yet | S have@S not/1 V:pp O yet/2 | S 还/2 没/1 V O | S=Person V=verb.finish O=ThisNew@V weight=2
experience | S have@S V:pp O before/1 | S V 过/1 O | S=Person V=verb.finish.once O=ThisNew@V
been_to | S have@S been/1 G | S 去/1 过/1 G | S=Person G=Destination
been_times | S have@S been/1 G K | S 去/1 过/1 K G | S=Person G=Destination K=Times
never | S have@S never/1 V:pp O | S 从来/1 没/1 V 过 O | S=Person V=verb.once O=Plain@V weight=2
never_been | S have@S never/1 been/2 G | S 从来/1 没/1 去/2 过/2 G | S=Person G=Destination
future | S will/1 A:base T | S T 会/1 A | S=Person A=Plan T=SoonTime weight=3
future | S will/1 V:base G T | S T 会/1 V G | S=Person V=verb.go G=Goal T=FutureTime
going_to | S be@S going/1 to A:base T | S T 要/1 A | S=Person A=Plan T=SoonTime weight=3
going_to | S be@S going/1 to V:base O T | S T 要/1 V O | S=Person V=verb.years O=Learned@V T=FutureTime
want | S V@S to A:base | S V A | S=Person V=verb.wish A=Plan weight=3
decide | S V:past to A:base | S V A | S=Person V=verb.decide A=Plan
enjoy | S V@S to A:base | S V A | S=Person V=verb.enjoy A=Act
can | S can/1 V:base O | S 会/1 V O | S=Person V=verb.skill O=Learned@V
can_act | S can/1 V:base | S 会/1 V | S=Person V=verb.able
cannot | S cannot/1 V:base O | S 不/1 会/1 V O | S=Person V=verb.skill O=Learned@V
cannot_act | S cannot/1 V:base | S 不/1 会/1 V | S=Person V=verb.able
may | S may/1 V:base O | S 可以/1 V O | S=Person V=verb.permit O=ThisNew@V
should | S should/1 A:base | S 应该/1 A | S=Person A=Duty weight=2
must | S must/1 A:base T | S T 必须/1 A | S=Person A=Errand T=SoonTime
like | S V@S O | S V O | S=Person V=verb.mind O=Generic@V weight=2
like_also | S also/1 V@S O | S 也/1 V O | S=Person V=verb.mind O=Generic@V
like_all | S all/1 V@S O | S 都/1 V O | S=pronoun.plural V=verb.mind O=Generic@V
like_this | S V@S O | S V O | S=Person V=verb.mind O=ThisNew@V
need | S V@S O | S V O | S=Person V=verb.need O=Modest@V
not_like | S do@S not/1 V:base O | S 不/1 V O | S=Person V=verb.mind O=Generic@V weight=2
know | S V@S O | S V O | S=Person V=verb.feeling O=Whom differ=S,O
not_know | S do@S not/1 V:base O | S 不/1 V O | S=Person V=verb.feeling O=Whom differ=S,O
be_role | S be@S/1 a N | S 是/1 N | S=Single N=noun.role
be_good_role | S be@S/1 a/2 A N | S 是/1 一/2 N:measure A 的 N | S=Single N=noun.role A=adjective.trait~N
be_roles | S be@S/1 N:plural | S 是/1 N | S=Both N=noun.role
be_friend | S be@S/1 P 's/2 N | S 是/1 P 的/2 N | S=Single P=name N=noun.circle differ=S,P agr=third
come_from | S V@S C | S V C | S=Person V=verb.origin C=noun.country
live | S V@S in/1 C | S V 在/1 C | S=Person V=verb.live C=noun.city
live_long | S V:past in/1 C for D | S 在/1 C V 了 D | S=Person V=verb.live C=noun.city D=Duration@long
adjective | S be@S A | S 很 A | S=Person A=adjective.body weight=2
adjective_very | S be@S very/1 A | S 非常/1 A | S=Person A=adjective.mood
adjective_not | S be@S not/1 A | S 不/1 A | S=Person A=adjective.body!you
mood_today | S be@S A today/1 | S 今天/1 很 A | S=Person A=adjective.mood
thing_is | S be@S A | S 很 A | A=adjective!body!mood!weather S=Thing@A weight=5
thing_not | S be@S not/1 A | S 不/1 A | A=adjective!body!mood!weather!you S=Thing@A
thing_too | S be@S too/1 A | S 太/1 A 了 | A=adjective.excess S=Thing@A
thing_color | S be@S C | S 是 C 的 | C=color S=Thing@C
compare | S be@S C:comparative than/1 O | S 比/1 O C | S=Person C=adjective.body.compared O=Whom differ=S,O weight=2
compare_much | S be@S much/1 C:comparative than/2 O | S 比/2 O C 得多/1 \
    | S=Person C=adjective.body.compared O=Whom differ=S,O
compare_years | S be@S Q years/1 older/2 than/3 O | S 比/3 O 大/2 Q 岁/1 \
    | S=Senior O=PeerWhom Q=number.few differ=S,O
compare_thing | this/1 N is C:comparative than/2 that/3 one/4 | 这/1 N:measure N 比/2 那/3 N:measure/4 C \
    | C=adjective.compared!body!weather N=noun.count@C weight=5
as_tall | S be@S as/1 A as/2 O | S 跟/2 O 一样/1 A | S=Person A=adjective.body.compared O=Whom differ=S,O
not_as_tall | S be@S not/1 as/2 A as O | S 没有/1 O 那么/2 A | S=Person A=adjective.body.compared O=Whom differ=S,O
tallest | S be@S/1 the A:superlative N in/2 P:poss class/3 | S 是/1 P 班/3 里/2 最/A A 的 N \
    | S=Peer A=adjective.body.compared N=noun.studying P=pronoun.plural
most_expensive | this/1 is/2 the A:superlative N in/3 the G | 这/1 是/2 G 里/3 最/A A 的 N \
    | A=adjective.compared!body!weather N=noun.count.goods!food@A G=noun.shop weight=4
age | S be@S Q years/1 old/1 | S Q 岁/1 | S=Peer Q=number.young
age_elder | P:poss K is Q years/1 old/1 | P K Q 岁/1 | P=pronoun.single K=noun.kin.elder Q=number.old
price | D V@D Q yuan/1 | D V Q 块/1 钱/1 | D=This@midprice Q=number.price V=verb.cost
price_low | D V@D Q yuan/1 | D V Q 块/1 钱/1 | D=This@fruit+cooked+penny Q=number.penny V=verb.cost
price_high | D V@D Q yuan/1 | D V Q 块/1 钱/1 | D=This@device+furniture+instrument Q=number.dear V=verb.cost
ordinal | this/1 is/2 W Z N | 这/1 是/2 W Z N:measure N | W=Owner Z=ordinal.early N=noun.count@device+vehicle
ordinal_is | the Z N is A | Z N:measure N 很 A | Z=ordinal A=adjective.ranked N=noun.count@A
ba | S V:past O | S 把 O V 了 | S=Person V=verb.change!crime O=The@V weight=4
ba_put | S V:past O L | S 把 O V 在 了 L | S=Person V=verb.put O=The@V L=Where weight=3
ba_give | S V:past O to W | S 把 O V 了 W | S=Person V=verb.handover O=The@V W=Third differ=S,W weight=2
ba_into | S V:past O into/1 C | S 把 O V 成/1 了 C | S=Person V=verb.into O=The@V C=noun.language
passive | O was@O V:pp by/1 S | O 被/1 S V 了 | V=verb.change O=The@V S=Third weight=3
passive_time | O was@O/1 V:pp T | O T 被/1 V 了 | V=verb.loss O=The@V T=RecentTime
give | S V:past W O | S V 了 W O | S=Person V=verb.give W=Whom O=Some@V differ=S,W weight=2
buy_for | S V:past O for/1 W | S 给/1 W V 了 O | S=Person V=verb.for O=Some@V W=Whom differ=S,W weight=2
help_do | S V:past W K:base O | S V W K 了 O | S=Person V=verb.assist W=Whom K=verb.chore O=Some@K differ=S,W
ask_to | S V:past W to A:base | S V W A | S=Person V=verb.cause W=Whom A=Errand differ=S,W weight=2
go_with | S V:past G with/1 W T | S T 跟/1 W 一起/1 V 了 G | S=Person V=verb.go G=Goal W=Third T=PastTime differ=S,W
often_with | S D A@S with/1 W | S D 跟/1 W 一起/1 A | S=Person D=adverb.often A=Act W=Third differ=S,W
from_to | S V:past from/1 C to K T | S T 从/1 C V 了 K \
    | S=Person V=verb.go C=noun.city K=noun.city T=PastTime differ=C,K
by_bus | S V@S G by/1 B T | S T 坐/1 B V G | S=Person V=verb.go G=Local B=noun.transport.urban T=HabitTime
by_train | S V:past to C by/1 B T | S T 坐/1 B V 了 C \
    | S=Person V=verb.go C=noun.city B=noun.transport.distant T=PastTime
study_long | S V:past O for D | S V 了 D O | S=Person V=verb.years O=Learned@V D=Duration@long
play_long | S V:past O for D T | S T V 了 D O | S=Person V=verb.lasting!years O=Learned@V D=Duration@short T=DayTime
act_long | S V:past for D T | S T V:bare 了 D | S=Person V=verb.span D=Duration@short T=DayTime
wait_long | S V:past W for D | S V 了 W D | S=Person V=verb.wait W=Whom D=Duration@short differ=S,W
times_a_week | S V@S G K a/1 U | S 每/1 个/U U V K G | S=Person V=verb.go G=Local K=Times U=period.counted.long
manner | S V@S M | S V:bare 得 很 M | S=Person V=verb.speedy M=manner.speed
manner_well | S V@S very/1 M | S V:bare 得 非常/1 M | S=Person V=verb.artful M=manner.quality
manner_object | S V@S O very/1 M | S O V 得 非常/1 M | S=Person V=verb.skill O=Learned@V M=manner.quality
there_is | there be@X/1 X L | L 有/1 X | X=Some@small L=Where weight=2
there_is_near | there be@X/1 X L | L 有/1 X | X=One@site L=Near
there_is_outside | there be@X/1 X L | L 有/1 X | X=One@nature+building L=Beside
there_is_room | there be@X/1 X L | L 有/1 X | X=Some@furniture L=Inside@furnished
there_is_zoo | there be@X/1 X L | L 有/1 X | X=Some@zoo L=Inside@caged
there_is_park | there be@X/1 X L | L 有/1 X | X=Some@plant+pet L=Inside@green
there_is_city | there are/1 X in C | C 有/1 X | X=Lots@workplace C=noun.city weight=3
there_is_no | there be@N no/1 N L | L 没有/1 N | N=noun.mass.goods L=Inside@store
there_are_no | there are no/1 N:plural L | L 没有/1 N | N=noun.count.small L=Where
have | S V@S O | S V O | S=Person V=verb.have O=Some@V weight=2
have_no | S do@S not/1 have/1 O | S 没有/1 O | S=Person O=Plain@goods+pet+sibling
is_in | S be@S L | S L | S=Person L=Site@site+room
is_on | D be@D/1 L | D 在/1 L | D=The@small L=Where weight=2
weather | it is A in C today/1 | C 今天/1 很 A | A=adjective.weather C=noun.city
weather_season | it is very/1 A in C in E | C E 非常/1 A | C=noun.city E=season A=adjective.weather~E weight=3
rained | it V:past in C T | C T V 了 | V=verb.weather C=noun.city T=RecentTime
will_rain | it will/1 V:base in C T | C T 会/1 V | V=verb.weather C=noun.city T=SoonTime
animal | O be@O/1 V:ing L | O 正在/1 L V | O=Pet V=verb.nap L=Where
which_is | X be@X very/1 A | X 非常/1 A | A=adjective.compared!body!weather X=Such@A weight=2
which_like | S V@S X | S V X | S=Person V=verb.mind X=Such@V
which_on | X be@X/1 L | X 在/1 L | X=Such@small L=Where
who_is | X be@X/1 P 's/2 N | X 是/1 P 的/2 N | X=Who P=name N=noun.circle agr=third
who_know | S V@S X | S V X | S=Person V=verb.feeling X=Who weight=2
"""

COMPLEX = """
[Complex]
says | S V@S that C | S V C | S=Other V=verb.say C=Simple weight=5
heard | S V:past that C | S V C | S=Other V=verb.hear C=Simple
told | S V:past W that C | S V W ， C | S=Other V=verb.tell W=Third C=Simple differ=S,W weight=2
because_ill | P/1 did not/2 V:base G because/3 P/4 was@P ill/5 | 因为/3 P/4 生病/5 了 ， 所以/3 P/1 没/2 V G \
    | P=pronoun V=verb.go G=Goal
because_tired | P/1 be@P A because/3 P/4 V:past for D | 因为/3 P/4 V:bare 了 D ， 所以/3 P/1 很 A \
    | P=pronoun A=adjective.worn V=verb.toil D=Hours
because_happy | P/1 be@P A because/3 S V:past P:object/4 O | 因为/3 S V 了 P/4 O ， 所以/3 P/1 很 A \
    | P=pronoun A=adjective.glad S=Third V=verb.give O=One@present
because_angry | P/1 be@P A because/3 S V:past P:poss/4 N | 因为/3 S V 了 P/4 的/4 N ， 所以/3 P/1 很 A \
    | P=pronoun A=adjective.cross S=Third V=verb.mishap N=noun.count@V
because_dear | S did not/2 V:base D because/3 it was too/4 A | 因为/3 D 太/4 A 了 ， 所以/3 S 没/2 V \
    | S=Person V=verb.shopping A=adjective.dear D=ThisOne@goods
because_rain | S V:past at/1 home/2 because/3 it R:past T | 因为/3 T R 了 ， 所以/3 S V 在/1 家里/2 \
    | S=Person V=verb.stay R=verb.weather T=DayTime
if_rain | if/3 it R@R T , S will/4 V:base at/1 home/2 | 如果/3 T R ， S 就/4 V 在/1 家里/2 \
    | S=Person V=verb.stay R=verb.weather T=SoonTime
if_time | if/3 P/1 have@P/5 time/6 T , P/2 will/4 A:base | 如果/3 P/1 T 有/5 时间/6 ， P/2 就/4 A \
    | P=pronoun T=SoonTime A=Plan
if_tired | if/3 P/1 be@P A , P/2 should/4 V:base | 如果/3 P/1 很 A ， P/2 就 应该/4 V \
    | P=pronoun A=adjective.worn V=verb.repose
if_hungry | if/3 P/1 be@P A , P/2 can/4 V:base O | 如果/3 P/1 很 A ， P/2 就 可以/4 V O \
    | P=pronoun A=adjective.hungry V=verb.feast O=ThisOne@V
when | when/3 S V:past , W was@W/4 D:ing | S V 的/3 时候/3 ， W 正在/4 D \
    | S=Third V=verb.clock W=Person D=Doing differ=S,W
before | P A@P before/1 P V@P | P V 以前/1 A | P=pronoun A=Routine V=verb.clock.before
after | P A@P after/1 P V@P | P V 以后/1 A | P=pronoun A=Routine V=verb.clock.after
but_like | S V@S/1 O , but/3 W V@W/2 K | S V/1 O ， 但是/3 W V/2 K \
    | S=Person V=verb.mind.fond O=Generic@clothes W=Person K=Generic@clothes differ=O,K;S,W
but_like | S V@S/1 O , but/3 W V@W/2 K | S V/1 O ， 但是/3 W V/2 K \
    | S=Person V=verb.mind.fond O=Generic@sport W=Person K=Generic@sport differ=O,K;S,W
but_like | S V@S/1 O , but/3 W V@W/2 K | S V/1 O ， 但是/3 W V/2 K \
    | S=Person V=verb.mind.fond O=Generic@learned W=Person K=Generic@learned differ=O,K;S,W
but_like | S V@S/1 O , but/3 W V@W/2 K | S V/1 O ， 但是/3 W V/2 K \
    | S=Person V=verb.mind.fond O=Generic@drink W=Person K=Generic@drink differ=O,K;S,W
but_like | S V@S/1 O , but/3 W V@W/2 K | S V/1 O ， 但是/3 W V/2 K \
    | S=Person V=verb.mind.fond O=Generic@animal W=Person K=Generic@animal differ=O,K;S,W
but_like | S V@S/1 O , but/3 W V@W/2 K | S V/1 O ， 但是/3 W V/2 K \
    | S=Person V=verb.mind.fond O=Generic@food W=Person K=Generic@food differ=O,K;S,W
but_cannot | S can/1 V:base , but/2 W cannot/3 | S 会/1 V ， 但是/2 W 不/3 会/3 \
    | S=Person V=verb.able W=Person differ=S,W
and_past | S V:past/1 O T , and W V:past/2 K | S T V/1 了 O ， W V/2 了 K \
    | S=Person V=verb.event O=Some@V T=PastTime W=Person K=Some@V differ=S,W weight=2
and_progressive | S be@S/1 D:ing , and W be@W/2 K:ing | S 正在/1 D ， W 正在/2 K \
    | S=Person D=Doing W=Person K=Doing differ=S,W
although | although/1 D is very/2 A , S V@S to K:base it | 虽然/1 D 非常/2 A ， 但是/1 S V K \
    | A=adjective.dear D=ThisOne@goods S=Person V=verb.wish!hopeful K=verb.shopping
"""

QUESTION = """
[Question]
do_like | do@S S V:base O | S V O 吗 | S=Other V=verb.mind O=Generic@V weight=2
do_habit | do@S S A:base T | S T A 吗 | S=Other A=Act T=HabitTime weight=2
did | did S V:base O T | S T V O 了 吗 | S=Other V=verb.asked O=Plain@V T=RecentTime weight=3
did_go | did S V:base G T | S T V G 了 吗 | S=Other V=verb.go G=Goal T=PastTime
is_adjective | be@S S A | S A 吗 | S=Other A=adjective.body
is_thing | be@S S A | S A 吗 | A=adjective!body!mood!weather S=Thing@A weight=2
is_role | be@S/1 S a N | S 是/1 N 吗 | S=OtherOne N=noun.role
is_doing | be@S/1 S D:ing | S 正在/1 D 吗 | S=Other D=Doing
can_you | can/1 S V:base O | S 会/1 V O 吗 | S=Other V=verb.skill O=Learned@V
may_i | may/1 P V:base O | P 可以/1 V O 吗 | P=pronoun.speaker V=verb.permit O=ThisNew@V weight=2
can_you_help | can/1 P V:base O | P 能/1 V O 吗 | P=pronoun.hearer V=verb.deed O=Whom differ=P,O
ever_been | have@S S ever/1 been/2 G | S 去/2 过/1 G 吗 | S=Other G=Destination
ever | have@S S ever/1 V:pp O | S V 过/1 O 吗 | S=Other V=verb.once O=Plain@V weight=2
will_you | will/1 S A:base T | S T 会/1 A 吗 | S=Other A=Plan T=SoonTime
want_to | do@S S want/1 to A:base | S 想/1 A 吗 | S=Other A=Plan
do_have | do@S S have/1 O | S 有/1 O 吗 | S=Other O=Plain@goods+pet+sibling
is_there | is/1 there/1 a N L | L 有/1 N 吗 | N=noun.count.site L=Near
tea_or | do@S S V:base N or/1 K | S V N 还是/1 K | S=Other V=verb.mind.fond N=noun.drink K=noun.drink differ=N,K
what_did | what/1 did S V:base T | S T V 了 什么/1 | S=Other V=verb.asked!vague T=RecentTime weight=2
what_doing | what/1 be@S/2 S doing/3 | S 正在/2 做/3 什么/1 | S=Other
what_like | what/1 do@S S V:base to K:base | S V K 什么/1 | S=Other V=verb.enjoy K=verb.asked!vague.daily
what_want | what/1 do@S S V:base to K:base T | S T V K 什么/1 \
    | S=Other V=verb.wish!hopeful K=verb.asked!vague!vague T=SoonTime
who_did | who/1 V:past O | 谁/1 V 了 O | V=verb.relative O=ThisNew@V weight=2
who_like | who/1 do@S S V:base | S V 谁/1 | S=Other V=verb.feeling
who_is_it | who/1 be@S/2 S | S 是/2 谁/1 | S=Named
where_is | where/1 be@S/2 S | S 在/2 哪里/1 | S=Other
where_thing | where/1 be@D/2 D | D 在/2 哪里/1 | D=Thing@small
where_live | where/1 do@S S V:base | S V 在 哪里/1 | S=Other V=verb.live
where_work | where/1 do@S S V:base | S 在 哪里/1 V | S=Other V=verb.toil
where_did | where/1 did S V:base O | S 是 在 哪里/1 V O 的 | S=Other V=verb.located O=ThisNew@V weight=2
when_did | when/1 did S V:base O | S 是 什么时候/1 V O 的 | S=Other V=verb.relative O=This@V weight=2
when_will | when/1 will S V:base O | S 什么时候/1 V O | S=Other V=verb.asked O=Plain@V
when_will | when/1 will S V:base G | S 什么时候/1 V G | S=Other V=verb.go G=Goal
what_time | what/1 time/2 do@S S V:base T | S T 几/1 点/2 V | S=Other V=verb.clock T=DailyTime
why_so | why/1 be@S S so/2 A | S 为什么/1 这么/2 A | S=Other A=adjective.mood
why_like | why/1 do@S S V:base O | S 为什么/1 V O | S=Other V=verb.mind O=Generic@V
why_not | why/1 did S not/2 V:base O T | S T 为什么/1 没/2 V O | S=Other V=verb.asked O=Plain@V T=DayTime
how_many | how/1 many/1 N:plural did S V:base T | S T V 了 几/1 N:measure N \
    | S=Other V=verb.asked N=noun.count@V T=RecentTime weight=2
how_many_are | how/1 many/1 N:plural are/2 there/2 L | L 有/2 几/1 N:measure N | N=noun.count.small L=Where
how_much | how/1 much/1 be@D D | D 多少/1 钱/1 | D=This@goods
which | which/1 N do@S S V:base | S V 哪/1 N:measure N | S=Other V=verb.mind N=noun.count@V
how_old | how/1 old/1 be@S S | S 多大/1 | S=OtherOne
how_long | how/1 long/1 did S V:base O | S V 了 多久/1 O | S=Other V=verb.years O=Learned@V
how_go | how/1 do@S S V:base G T | S T 怎么/1 V G | S=Other V=verb.go G=Local T=HabitTime
"""

COMMAND = """
[Command]
please | please/1 V:base O | 请/1 V O | V=verb.request O=ThisNew@V
please_ba | please/1 V:base O | 请/1 把 O V | V=verb.handle O=The@V weight=2
please_put | please/1 V:base O L | 请/1 把 O V 在 L | V=verb.put O=The@V L=Where weight=2
please_give | please/1 V:base W O | 请/1 V W O | V=verb.give W=Recipient O=One@V
do_not | do not/1 V:base O | 别/1 V O | V=verb.permit O=ThisNew@V
do_not_here | do not/1 V:base here/2 | 别/1 在 这里/2 V | V=verb.act
lets | let/2 's/1 A:base T | 我们/1 T A 吧/2 | A=Plan T=SoonTime weight=2
"""

SENTENCE = """
[Sentence]
statement | C ./1 | C 。/1 | C=Simple weight=60
complex | C ./1 | C 。/1 | C=Complex weight=14
question | C ?/1 | C ？/1 | C=Question weight=21
command | C ./1 | C 。/1 | C=Command weight=5
"""

RULES = SENTENCE + SIMPLE + COMPLEX + QUESTION + COMMAND + PHRASES

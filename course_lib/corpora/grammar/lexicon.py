"""The words of the grammar corpus: English forms, Chinese, pinyin, measure word and what goes with what.

Each table begins with a line `[category class …]`; its rows hold English | Chinese | pinyin and then

- nouns: measure word | classes. `child/children` gives an irregular plural. A noun without the class `count` is a
  mass noun; its measure word is a unit ("a cup of tea").
- verbs: classes of the objects they take | classes. `eat ate eaten` gives irregular forms. `跑步=跑` gives the part
  of a verb that stands alone before 了 and 得.
- adjectives: classes of the nouns they describe | classes.
- all others: classes.

Pinyin has the tones of the dictionary: the changes of 一, 不 and of two third tones in a row are not written.
"""

import re
from dataclasses import dataclass

NOUNS = """
[noun person role count]
teacher | 老师 | lǎoshī | 位
doctor | 医生 | yīshēng | 位
nurse | 护士 | hùshi | 位
student | 学生 | xuésheng | 个 | many pupil studying
driver | 司机 | sījī | 位
cook | 厨师 | chúshī | 位
police officer | 警察 | jǐngchá | 位
lawyer | 律师 | lǜshī | 位
engineer | 工程师 | gōngchéngshī | 位
writer | 作家 | zuòjiā | 位
singer | 歌手 | gēshǒu | 位
scientist | 科学家 | kēxuéjiā | 位
farmer | 农民 | nóngmín | 位
manager | 经理 | jīnglǐ | 位
waiter | 服务员 | fúwùyuán | 位
journalist | 记者 | jìzhě | 位
painter | 画家 | huàjiā | 位
actor | 演员 | yǎnyuán | 位

[noun person figure count]
boy | 男孩 | nánhái | 个 | many pupil
girl | 女孩 | nǚhái | 个 | many pupil
child/children | 孩子 | háizi | 个 | many
guest | 客人 | kèrén | 位 | many

[noun person circle count]
friend | 朋友 | péngyou | 个 | many
classmate | 同学 | tóngxué | 个 | many
colleague | 同事 | tóngshì | 个 | many
neighbor | 邻居 | línjū | 个

[noun person kin]
mother | 妈妈 | māma | 个 | elder
father | 爸爸 | bàba | 个 | elder
older brother | 哥哥 | gēge | 个 | count sibling senior
younger brother | 弟弟 | dìdi | 个 | count sibling junior
older sister | 姐姐 | jiějie | 个 | count sibling senior
younger sister | 妹妹 | mèimei | 个 | count sibling junior
grandmother | 奶奶 | nǎinai | 个
grandfather | 爷爷 | yéye | 个
uncle | 叔叔 | shūshu | 个 | elder
aunt | 阿姨 | āyí | 个 | elder
son | 儿子 | érzi | 个 | count
daughter | 女儿 | nǚ'ér | 个 | count

[noun animal count]
cat | 猫 | māo | 只 | pet cute sleeper
dog | 狗 | gǒu | 只 | pet cute sleeper
bird | 鸟 | niǎo | 只 | pet cute
rabbit | 兔子 | tùzi | 只 | pet cute
horse | 马 | mǎ | 匹 | ridden runner
cow | 牛 | niú | 头
pig | 猪 | zhū | 头
sheep/sheep | 羊 | yáng | 只
chicken | 鸡 | jī | 只
duck | 鸭子 | yāzi | 只 | cute
fish/fish | 鱼 | yú | 条
monkey | 猴子 | hóuzi | 只 | cute zoo
panda | 熊猫 | xióngmāo | 只 | cute zoo
elephant | 大象 | dàxiàng | 头 | zoo
tiger | 老虎 | lǎohǔ | 只 | zoo
lion | 狮子 | shīzi | 只 | zoo
snake | 蛇 | shé | 条 | zoo

[noun food small count goods]
apple | 苹果 | píngguǒ | 个 | fruit
banana | 香蕉 | xiāngjiāo | 根 | fruit
orange | 橙子 | chéngzi | 个 | fruit
pear | 梨 | lí | 个 | fruit
peach | 桃子 | táozi | 个 | fruit
watermelon | 西瓜 | xīguā | 个 | fruit
tomato/tomatoes | 西红柿 | xīhóngshì | 个 | vegetable
potato/potatoes | 土豆 | tǔdòu | 个 | vegetable
carrot | 胡萝卜 | húluóbo | 根 | vegetable
egg | 鸡蛋 | jīdàn | 个 | cooked
dumpling | 饺子 | jiǎozi | 个 | cooked dish
steamed bun | 包子 | bāozi | 个 | cooked dish
sandwich | 三明治 | sānmíngzhì | 个 | cooked dish
hamburger | 汉堡 | hànbǎo | 个 | dish
cookie | 饼干 | bǐnggān | 块 | cooked

[noun food mass goods]
rice | 米饭 | mǐfàn | 碗 | cooked dish
noodles | 面条 | miàntiáo | 碗 | cooked dish
bread | 面包 | miànbāo | 块 | cooked
cake | 蛋糕 | dàngāo | 块 | cooked dish
chocolate | 巧克力 | qiǎokèlì | 块
cheese | 奶酪 | nǎilào | 块
beef | 牛肉 | niúròu | 块 | dish

[noun drink mass goods]
tea | 茶 | chá | 杯 | dish
coffee | 咖啡 | kāfēi | 杯 | dish
water | 水 | shuǐ | 杯
milk | 牛奶 | niúnǎi | 杯
juice | 果汁 | guǒzhī | 杯 | dish
lemonade | 柠檬水 | níngméngshuǐ | 瓶 | dish
mineral water | 矿泉水 | kuàngquánshuǐ | 瓶 | dish
cola | 可乐 | kělè | 瓶 | dish

[noun text count]
book | 书 | shū | 本 | readable small goods paper midprice
novel | 小说 | xiǎoshuō | 本 | readable written small goods paper midprice
magazine | 杂志 | zázhì | 本 | readable small goods paper
newspaper | 报纸 | bàozhǐ | 份 | readable small goods
dictionary | 词典 | cídiǎn | 本 | small goods tool paper midprice
letter | 信 | xìn | 封 | readable written small mail
email | 邮件 | yóujiàn | 封 | readable written received
article | 文章 | wénzhāng | 篇 | readable written
story | 故事 | gùshi | 个 | recited written told
poem | 诗 | shī | 首 | recited written
question | 问题 | wèntí | 个 | question

[noun show count public]
film | 电影 | diànyǐng | 部 | movie watched
match | 比赛 | bǐsài | 场 | watched
song | 歌 | gē | 首 | song

[noun picture count small]
photo | 照片 | zhàopiàn | 张 | photo
picture | 画 | huà | 幅 | goods
map | 地图 | dìtú | 张 | drawn goods tool

[noun clothes count goods washable midprice]
shirt | 衬衫 | chènshān | 件
coat | 大衣 | dàyī | 件 | warm
sweater | 毛衣 | máoyī | 件 | warm
jacket | 夹克 | jiákè | 件 | warm
skirt | 裙子 | qúnzi | 条
dress | 连衣裙 | liányīqún | 条

[noun clothes pair goods washable midprice]
trousers | 裤子 | kùzi | 条
shoes | 鞋 | xié | 双
socks | 袜子 | wàzi | 双

[noun accessory count goods]
hat | 帽子 | màozi | 顶 | midprice
scarf/scarves | 围巾 | wéijīn | 条 | warm midprice
watch | 手表 | shǒubiǎo | 块 | device small lost
ring | 戒指 | jièzhi | 枚 | small lost

[noun accessory pair goods]
glasses | 眼镜 | yǎnjìng | 副 | midprice
gloves | 手套 | shǒutào | 副 | midprice

[noun thing count goods small]
phone | 手机 | shǒujī | 部 | device lost stolen used
computer | 电脑 | diànnǎo | 台 | device used stolen
camera | 照相机 | zhàoxiàngjī | 台 | device used stolen
bag | 包 | bāo | 个 | bagged container stolen heavy lost
umbrella | 雨伞 | yǔsǎn | 把 | lost lent midprice
gift | 礼物 | lǐwù | 件 | mail present
cup | 杯子 | bēizi | 个 | fragile washable midprice
plate | 盘子 | pánzi | 个 | fragile washable midprice
bowl | 碗 | wǎn | 个 | fragile washable midprice
bottle | 瓶子 | píngzi | 个 | fragile
key | 钥匙 | yàoshi | 把 | lost
knife/knives | 刀 | dāo | 把 | tool used lent
pen | 钢笔 | gāngbǐ | 支 | tool used lost lent
pencil | 铅笔 | qiānbǐ | 支 | tool used lost lent
ticket | 票 | piào | 张 | lost
postcard | 明信片 | míngxìnpiàn | 张 | written mail
stamp | 邮票 | yóupiào | 张 | penny
ball | 球 | qiú | 个
toy | 玩具 | wánjù | 个 | present midprice
wallet | 钱包 | qiánbāo | 个 | lost stolen
towel | 毛巾 | máojīn | 条 | washable midprice
notebook | 笔记本 | bǐjìběn | 本 | paper
box/boxes | 盒子 | hézi | 个 | container heavy

[noun large count goods big]
suitcase | 箱子 | xiāngzi | 个 | container heavy carried lost
mirror | 镜子 | jìngzi | 面 | fragile
lamp | 灯 | dēng | 盏 | device switched
fridge | 冰箱 | bīngxiāng | 台 | device container store
television | 电视机 | diànshìjī | 台 | device switched
washing machine | 洗衣机 | xǐyījī | 台 | device used

[noun furniture count goods carried big]
table | 桌子 | zhuōzi | 张 | surface
desk | 书桌 | shūzhuō | 张 | surface
chair | 椅子 | yǐzi | 把 | surface seat
bed | 床 | chuáng | 张 | surface seat
sofa | 沙发 | shāfā | 张 | surface seat
bookcase/bookcases | 书架 | shūjià | 个
cupboard | 柜子 | guìzi | 个 | container

[noun part count]
door | 门 | mén | 扇 | opened
window | 窗户 | chuānghu | 扇 | opened fragile

[noun vehicle count goods big]
car | 汽车 | qìchē | 辆 | driven device washable stolen lent
bike | 自行车 | zìxíngchē | 辆 | ridden device washable stolen lent
truck | 卡车 | kǎchē | 辆 | driven device
motorbike | 摩托车 | mótuōchē | 辆 | ridden device stolen

[noun transport count public big]
bus/buses | 公共汽车 | gōnggòng qìchē | 辆 | driven transport urban
taxi | 出租车 | chūzūchē | 辆 | driven transport urban
train | 火车 | huǒchē | 列 | transport distant
plane | 飞机 | fēijī | 架 | transport distant
ship | 船 | chuán | 艘 | transport distant

[noun nature count public]
river | 河 | hé | 条 | water long
lake | 湖 | hú | 个 | water
mountain | 山 | shān | 座 | high landmark
tree | 树 | shù | 棵 | plant high
flower | 花 | huā | 朵 | plant drawn present
road | 路 | lù | 条 | long

[noun building count public big]
house | 房子 | fángzi | 座 | home landmark
bridge | 桥 | qiáo | 座 | long landmark
tower | 塔 | tǎ | 座 | high landmark
temple | 寺庙 | sìmiào | 座 | visited landmark

[noun room count]
room | 房间 | fángjiān | 个 | cleaned study furnished
kitchen | 厨房 | chúfáng | 间 | cleaned dining store
office | 办公室 | bàngōngshì | 间 | cleaned study workplace furnished
classroom | 教室 | jiàoshì | 间 | cleaned study furnished

[noun town count public visited big]
city | 城市 | chéngshì | 座
village | 村子 | cūnzi | 个 | landmark

[noun place goal site count public big]
library | 图书馆 | túshūguǎn | 座 | in study study workplace
bookstore | 书店 | shūdiàn | 家 | in shop workplace
museum | 博物馆 | bówùguǎn | 座 | in visited workplace
hospital | 医院 | yīyuàn | 家 | at workplace
bank | 银行 | yínháng | 家 | at workplace
station | 车站 | chēzhàn | 个 | at workplace
airport | 机场 | jīchǎng | 个 | at workplace dining
restaurant | 饭馆 | fànguǎn | 家 | in dining workplace
café | 咖啡馆 | kāfēiguǎn | 家 | in dining study workplace
hotel | 酒店 | jiǔdiàn | 家 | at workplace dining
cinema | 电影院 | diànyǐngyuàn | 家 | at
supermarket | 超市 | chāoshì | 家 | in shop workplace store
shop | 商店 | shāngdiàn | 家 | in shop workplace
market | 市场 | shìchǎng | 个 | at shop
park | 公园 | gōngyuán | 个 | in outdoor green study dining
zoo | 动物园 | dòngwùyuán | 个 | at outdoor visited caged
factory | 工厂 | gōngchǎng | 家 | in visited workplace
post office | 邮局 | yóujú | 个 | at workplace
company | 公司 | gōngsī | 家 | at workplace
theater | 剧院 | jùyuàn | 座 | at
garden | 花园 | huāyuán | 个 | in outdoor study dining green

[noun city]
Beijing | 北京 | Běijīng
Shanghai | 上海 | Shànghǎi
Nanjing | 南京 | Nánjīng
Guangzhou | 广州 | Guǎngzhōu
London | 伦敦 | Lúndūn
Paris | 巴黎 | Bālí
Tokyo | 东京 | Dōngjīng
Berlin | 柏林 | Bólín
New York | 纽约 | Niǔyuē
Moscow | 莫斯科 | Mòsīkē

[noun country]
China | 中国 | Zhōngguó
Japan | 日本 | Rìběn
France | 法国 | Fǎguó
Germany | 德国 | Déguó
Italy | 意大利 | Yìdàlì
Canada | 加拿大 | Jiānádà
America | 美国 | Měiguó
England | 英国 | Yīngguó

[noun language mass learned]
Chinese | 中文 | Zhōngwén
English | 英语 | Yīngyǔ
French | 法语 | Fǎyǔ
German | 德语 | Déyǔ
Japanese | 日语 | Rìyǔ
Russian | 俄语 | Éyǔ

[noun subject mass learned]
math | 数学 | shùxué
history | 历史 | lìshǐ
physics | 物理 | wùlǐ
chemistry | 化学 | huàxué
law | 法律 | fǎlǜ

[noun sport mass]
basketball | 篮球 | lánqiú | | handball
tennis | 网球 | wǎngqiú | | handball
table tennis | 乒乓球 | pīngpāngqiú | | handball
football | 足球 | zúqiú | | football
chess | 国际象棋 | guójì xiàngqí | | chess

[noun instrument count goods big]
piano | 钢琴 | gāngqín | 架 | plucked large
guitar | 吉他 | jítā | 把 | plucked stolen
violin | 小提琴 | xiǎotíqín | 把 | bowed stolen

[noun pastime mass]
music | 音乐 | yīnyuè | | heard
TV | 电视 | diànshì | | tv

[noun meal mass]
breakfast | 早饭 | zǎofàn
lunch | 午饭 | wǔfàn
dinner | 晚饭 | wǎnfàn

[noun task]
homework | 作业 | zuòyè

"""

VERBS = """
[verb event]
buy bought bought | 买 | mǎi | goods present | prog shopping located relative for want asked chore memorable
sell sold sold | 卖 | mài | vehicle furniture device instrument | relative want asked once memorable
eat ate eaten | 吃 | chī | food | feast prog daily dine once want asked request
drink drank drunk | 喝 | hē | drink | feast prog routine daily dine once want asked request permit
read read read | 看 | kàn | readable | prog routine daily desk finish once relative want asked request memorable permit
read read read | 读 | dú | recited | vague prog daily desk finish once relative want asked permit memorable
write wrote written | 写 | xiě | written | prog daily desk relative want asked memorable
watch | 看 | kàn | watched | prog daily finish once relative want asked memorable vague
sing sang sung | 唱 | chàng | song | relative want
listen to | 听 | tīng | song told | prog daily finish
draw drew drawn | 画 | huà | drawn animal | prog desk relative want for memorable
wash | 洗 | xǐ | washable | prog finish want asked chore
make made made | 做 | zuò | cooked | prog for relative want chore
use | 用 | yòng | used tool | prog finish once request permit
borrow | 借 | jiè | paper tool lent | located relative want asked memorable
repair | 修 | xiū | device | prog finish want chore memorable asked
send sent sent | 寄 | jì | mail | prog relative want asked memorable
see saw seen | 看见 | kànjiàn | animal figure role nature building transport | located relative memorable
meet met met | 遇到 | yùdào | figure role circle | located memorable
find found found | 找到 | zhǎodào | lost | relative asked located
receive | 收到 | shōudào | mail received | relative asked memorable
plant | 种 | zhòng | plant | prog want excess memorable asked
visit | 参观 | cānguān | visited | want prog finish memorable asked
translate | 翻译 | fānyì | written readable | into prog finish relative want request chore memorable asked
order | 点 | diǎn | dish | relative want
carry | 搬 | bān | carried | prog request chore
choose chose chosen | 选 | xuǎn | clothes accessory photo | relative want chore
invite | 邀请 | yāoqǐng | circle figure | want
answer | 回答 | huídá | question | prog finish request asked
ask | 问 | wèn | question | relative want
take took taken | 拍 | pāi | photo | prog relative want
cut cut cut | 切 | qiē | fruit vegetable | prog request chore
feed fed fed | 喂 | wèi | animal | prog

[verb steer]
drive drove driven | 开 | kāi | driven | prog once finish request permit
ride rode ridden | 骑 | qí | ridden | prog once finish request permit

[verb wearing]
wear wore worn | 穿 | chuān | clothes
wear wore worn | 戴 | dài | accessory

[verb mind]
like | 喜欢 | xǐhuan | food drink readable recited watched song heard animal clothes accessory sport learned nature \
    | fond
hate | 讨厌 | tǎoyàn | zoo food drink tv learned

[verb need]
need | 需要 | xūyào | goods lent tool device

[verb heart]
like | 喜欢 | xǐhuan | person | feeling
love | 爱 | ài | person | feeling
know knew known | 认识 | rènshi | person | feeling
miss | 想念 | xiǎngniàn | person | feeling
thank | 感谢 | gǎnxiè | person | deed
help | 帮助 | bāngzhù | person | deed
wait for | 等 | děng | person | deed wait
look for | 找 | zhǎo | person | deed
visit | 看望 | kànwàng | person | deed

[verb learning]
study | 学 | xué | learned | lasting years
teach taught taught | 教 | jiāo | learned | lasting years
play | 打 | dǎ | handball | lasting skill
play | 踢 | tī | football | lasting skill
play | 下 | xià | chess | lasting skill
play | 弹 | tán | plucked | lasting skill
play | 拉 | lā | bowed | lasting skill
speak spoke spoken | 说 | shuō | language | skill
watch | 看 | kàn | tv | routine lasting
have had had | 吃 | chī | meal
do did done | 做 | zuò | task | lasting
listen to | 听 | tīng | heard | routine lasting

[verb act]
swim swam swum | 游泳=游 | yóuyǒng=yóu | | able span speedy artful
run ran run | 跑步=跑 | pǎobù=pǎo | | routine outdoor span speedy
sing sang sung | 唱歌=唱 | chànggē=chàng | | able outdoor span artful
dance danced danced | 跳舞=跳 | tiàowǔ=tiào | | able outdoor span artful
sleep slept slept | 睡觉=睡 | shuìjiào=shuì | | nap span artful moment
draw drew drawn | 画画=画 | huàhuà=huà | | able outdoor artful
cook | 做饭=做 | zuòfàn=zuò | | able
ski | 滑雪=滑 | huáxuě=huá | | able artful
drive drove driven | 开车=开 | kāichē=kāi | | able speedy
work | 工作 | gōngzuò | | lasts indoor span toil
rest | 休息 | xiūxi | | routine lasts indoor outdoor span repose
exercise | 锻炼 | duànliàn | | routine outdoor
travel | 旅行 | lǚxíng | |
take a walk took a walk taken a walk | 散步 | sànbù | | routine outdoor
chat | 聊天=聊 | liáotiān=liáo | | indoor outdoor span
have a meeting had a meeting had a meeting | 开会 | kāihuì | | indoor
take a shower took a shower taken a shower | 洗澡 | xǐzǎo | | routine moment
cry | 哭 | kū | | moment

[verb clock]
get up got up gotten up | 起床 | qǐchuáng | | after
go to bed went to bed gone to bed | 上床 | shàngchuáng | | before
go to work went to work gone to work | 上班 | shàngbān | | before
go home went home gone home | 回家 | huíjiā | | after

[verb change]
eat ate eaten | 吃 | chī | food | consume
drink drank drunk | 喝 | hē | drink | consume
sell sold sold | 卖 | mài | vehicle furniture device instrument
wash | 洗干净 | xǐ gānjìng | washable | handle
break broke broken | 打破 | dǎpò | fragile | mishap loss
steal stole stolen | 偷走 | tōuzǒu | stolen | crime loss
lose lost lost | 弄丢 | nòngdiū | lost | mishap loss
open | 打开 | dǎkāi | opened container | handle
close | 关上 | guānshàng | opened | handle
turn on | 打开 | dǎkāi | switched | handle
turn off | 关掉 | guāndiào | switched | handle
repair | 修好 | xiūhǎo | device | handle
clean | 打扫干净 | dǎsǎo gānjìng | cleaned | handle
take away took away taken away | 拿走 | názǒu | goods | crime handle

[verb special]
help | 帮 | bāng | | assist
cost cost cost | 要 | yào | | cost
go went gone | 去 | qù | | go
come from came from come from | 来自 | láizì | | origin
live | 住 | zhù | | live
put put put | 放 | fàng | small | put
give gave given | 给 | gěi | small present clothes | give
give gave given | 送给 | sònggěi | small present | handover
say said said | 说 | shuō | | say
think thought thought | 觉得 | juéde | | say
know knew known | 知道 | zhīdào | | say
hear heard heard | 听说 | tīngshuō | | hear
tell told told | 告诉 | gàosù | | tell
ask | 让 | ràng | | cause
have had had | 有 | yǒu | goods pet | have
want | 想 | xiǎng | | wish
plan | 打算 | dǎsuàn | | wish
hope | 希望 | xīwàng | | wish hopeful
decide | 决定 | juédìng | | decide
like | 喜欢 | xǐhuan | | enjoy
stay | 待 | dāi | | stay
rain | 下雨 | xiàyǔ | | weather
snow | 下雪 | xiàxuě | | weather
"""

ADJECTIVES = """
[adjective]
tall | 高 | gāo | person | body compared
tall | 高 | gāo | high | compared
short | 矮 | ǎi | person | body compared
big | 大 | dà | furniture container room town home animal water | bare compared excess
small | 小 | xiǎo | furniture container room town home pet | bare compared excess
long | 长 | cháng | long | compared excess
expensive | 贵 | guì | goods | compared dear excess
cheap | 便宜 | piányi | goods | compared price de
new | 新 | xīn | clothes accessory thing large furniture vehicle paper movie song instrument | bare
old | 旧 | jiù | clothes device bagged furniture vehicle paper photo | bare compared excess
good | 好 | hǎo | readable recited watched song | bare
beautiful | 漂亮 | piàoliang | clothes accessory home town plant picture bird | de compared
interesting | 有意思 | yǒu yìsi | readable recited watched learned | de compared ranked you
boring | 无聊 | wúliáo | readable recited watched | de compared ranked excess
difficult | 难 | nán | learned question | compared ranked excess
easy | 容易 | róngyì | learned question | compared ranked excess
delicious | 好吃 | hǎochī | food | de compared
delicious | 好喝 | hǎohē | drink | de compared
sweet | 甜 | tián | fruit | compared excess
fresh | 新鲜 | xīnxiān | fruit vegetable | de compared
heavy | 重 | zhòng | heavy carried | compared
light | 轻 | qīng | heavy | compared
clean | 干净 | gānjìng | room clothes washable | de compared
dirty | 脏 | zāng | room washable | compared excess
warm | 暖和 | nuǎnhuo | warm room | de compared
comfortable | 舒服 | shūfu | seat clothes | de compared
useful | 有用 | yǒuyòng | tool used | de you
thick | 厚 | hòu | paper | compared excess
deep | 深 | shēn | water | compared
wide | 宽 | kuān | long | compared
fast | 快 | kuài | vehicle transport ridden | compared
famous | 有名 | yǒumíng | town sight role visited watched song | de compared you
quiet | 安静 | ānjìng | site room town | de compared
dangerous | 危险 | wēixiǎn | zoo | compared
cute | 可爱 | kě'ài | cute | de compared
clever | 聪明 | cōngming | person | body compared de trait
young | 年轻 | niánqīng | person | body compared de trait
kind | 善良 | shànliáng | person | body trait de
friendly | 友好 | yǒuhǎo | person | body trait de
brave | 勇敢 | yǒnggǎn | person | body compared trait de
strong | 强壮 | qiángzhuàng | person | body compared
lazy | 懒 | lǎn | person | body compared
polite | 有礼貌 | yǒu lǐmào | person | body trait de compared you
hardworking | 努力 | nǔlì | person | body trait de compared
busy | 忙 | máng | person | mood
tired | 累 | lèi | person | mood worn
happy | 高兴 | gāoxìng | person | mood glad
sad | 难过 | nánguò | person | mood
hungry | 饿 | è | person | mood hungry
thirsty | 渴 | kě | person | mood thirsty
angry | 生气 | shēngqì | person | mood cross
nervous | 紧张 | jǐnzhāng | person | mood
cold | 冷 | lěng | winter | weather
hot | 热 | rè | summer | weather
warm | 暖和 | nuǎnhuo | spring | weather
cool | 凉快 | liángkuai | fall | weather

[color]
red | 红色 | hóngsè | clothes accessory vehicle plant thing
white | 白色 | báisè | clothes accessory vehicle plant pet thing
black | 黑色 | hēisè | clothes accessory vehicle pet thing
blue | 蓝色 | lánsè | clothes accessory vehicle thing
green | 绿色 | lǜsè | clothes accessory vehicle thing
yellow | 黄色 | huángsè | clothes accessory vehicle plant thing
"""

OTHERS = """
[name]
Tom | 汤姆 | Tāngmǔ
Mary | 玛丽 | Mǎlì
Anna | 安娜 | Ānnà
Peter | 彼得 | Bǐdé
David | 大卫 | Dàwèi
Lucy | 露西 | Lùxī
John | 约翰 | Yuēhàn
Alice | 爱丽丝 | Àilìsī
Jack | 杰克 | Jiékè
Emma | 艾玛 | Àimǎ
Paul | 保罗 | Bǎoluó
Linda | 琳达 | Líndá
Xiaoming | 小明 | Xiǎomíng
Xiaohong | 小红 | Xiǎohóng

[surname]
Wang | 王 | Wáng
Li | 李 | Lǐ
Chen | 陈 | Chén
Liu | 刘 | Liú
Zhao | 赵 | Zhào
Lin | 林 | Lín

[title]
Mr | 先生 | xiānsheng
Mrs | 太太 | tàitai
Miss | 小姐 | xiǎojiě
Professor | 教授 | jiàoshòu

[unit]
cup/cups | 杯 | bēi
bottle/bottles | 瓶 | píng
bowl/bowls | 碗 | wǎn
piece/pieces | 块 | kuài
pair/pairs | 双 | shuāng
pair/pairs | 副 | fù
pair/pairs | 条 | tiáo

[number]
two | 两 | liǎng | few pairwise
three | 三 | sān | few pairwise
four | 四 | sì | few
five | 五 | wǔ | few penny
six | 六 | liù | few penny
seven | 七 | qī | few
eight | 八 | bā | few penny
nine | 九 | jiǔ | few
ten | 十 | shí | few penny young
eleven | 十一 | shíyī | young
twelve | 十二 | shí'èr | young
fifteen | 十五 | shíwǔ | young
eighteen | 十八 | shíbā | young
twenty | 二十 | èrshí | young price
thirty | 三十 | sānshí | young price
forty | 四十 | sìshí | old price
fifty | 五十 | wǔshí | old price
sixty | 六十 | liùshí | price
eighty | 八十 | bāshí | price
one hundred | 一百 | yībǎi | price
two hundred | 两百 | liǎngbǎi | price
five hundred | 五百 | wǔbǎi | dear
one thousand | 一千 | yīqiān | dear
two thousand | 两千 | liǎngqiān | dear
five thousand | 五千 | wǔqiān | dear

[ordinal]
first | 第一 | dìyī | early
second | 第二 | dì'èr | early
third | 第三 | dìsān
fourth | 第四 | dìsì
fifth | 第五 | dìwǔ

[period]
hour/hours | 小时 | xiǎoshí | counted short
week/weeks | 星期 | xīngqī | counted long ago
month/months | 月 | yuè | counted long ago
minute/minutes | 分钟 | fēnzhōng | plain short
day/days | 天 | tiān | plain long ago daily
year/years | 年 | nián | plain long ago

[time]
yesterday | 昨天 | zuótiān | past day
last week | 上个星期 | shàng gè xīngqī | past
last month | 上个月 | shàng gè yuè | past
last year | 去年 | qùnián | past
last Sunday | 上星期天 | shàng xīngqītiān | past
tomorrow | 明天 | míngtiān | future day soon
next week | 下个星期 | xià gè xīngqī | future
next month | 下个月 | xià gè yuè | future
next year | 明年 | míngnián | future
this weekend | 这个周末 | zhège zhōumò | future soon
every day | 每天 | měitiān | habit daily
every week | 每周 | měizhōu | habit
every weekend | 每个周末 | měi gè zhōumò | habit
morning | 早上 | zǎoshang | part
afternoon | 下午 | xiàwǔ | part
evening | 晚上 | wǎnshang | part late

[weekday]
Monday | 星期一 | xīngqīyī
Tuesday | 星期二 | xīngqī'èr
Wednesday | 星期三 | xīngqīsān
Thursday | 星期四 | xīngqīsì
Friday | 星期五 | xīngqīwǔ
Saturday | 星期六 | xīngqīliù

[season]
spring | 春天 | chūntiān | spring
summer | 夏天 | xiàtiān | summer
fall | 秋天 | qiūtiān | fall
winter | 冬天 | dōngtiān | winter

[adverb]
often | 经常 | jīngcháng | often
sometimes | 有时候 | yǒushíhou | often
always | 总是 | zǒngshì | often
usually | 通常 | tōngcháng | often
rarely | 很少 | hěnshǎo | often

[manner]
fast | 快 | kuài | speed
slowly | 慢 | màn | speed
well | 好 | hǎo | quality

[hour]
one | 一 | yī
two | 两 | liǎng
three | 三 | sān
four | 四 | sì
five | 五 | wǔ
six | 六 | liù
seven | 七 | qī
eight | 八 | bā
nine | 九 | jiǔ
ten | 十 | shí

[relation]
on | 上 | shàng | surface
under | 下面 | xiàmiàn | surface
next to | 旁边 | pángbiān | beside
in front of | 前面 | qiánmiàn | beside
behind | 后面 | hòumiàn | beside
near | 附近 | fùjìn | around
in | 里 | lǐ | inside

[pronoun]
I | 我 | wǒ | single speaker
you | 你 | nǐ | single hearer
he | 他 | tā | single
she | 她 | tā | single
we | 我们 | wǒmen | plural speaker
they | 他们 | tāmen | plural
"""

FUNCTION_WORDS = """
[function]
(of) | 的 | de
(done) | 了 | le
(state) | 着 | zhe
(once) | 过 | guò
(question) | 吗 | ma
(suggestion) | 吧 | ba
(how) | 得 | de
(plural) | 们 | men
(measure) | 个 | gè
also | 也 | yě
(order) | 把 | bǎ
by | 被 | bèi
by (bus) | 坐 | zuò
today | 今天 | jīntiān
ill | 生病 | shēngbìng
and | 和 | hé
with | 跟 | gēn
one | 一 | yī
this | 这 | zhè
that | 那 | nà
these | 这些 | zhèxiē
those | 那些 | nàxiē
several | 几 | jǐ
many | 很多 | hěnduō
some | 一些 | yīxiē
ago | 前 | qián
o'clock | 点 | diǎn
half | 半 | bàn
next | 下 | xià
at | 在 | zài
being | 正在 | zhèngzài
not | 不 | bù
not | 没 | méi
there is no | 没有 | méiyǒu
be | 是 | shì
already | 已经 | yǐjīng
yet | 还 | hái
ever | 从来 | cónglái
will | 会 | huì
be going to | 要 | yào
can | 能 | néng
may | 可以 | kěyǐ
should | 应该 | yīnggāi
must | 必须 | bìxū
(is) | 很 | hěn
very | 非常 | fēicháng
too | 太 | tài
so | 这么 | zhème
as | 那么 | nàme
than | 比 | bǐ
equally | 一样 | yīyàng
most | 最 | zuì
much | 得多 | de duō
from | 从 | cóng
to | 到 | dào
who | 谁 | shéi
what | 什么 | shénme
where | 哪里 | nǎlǐ
which | 哪 | nǎ
when | 什么时候 | shénme shíhou
why | 为什么 | wèishénme
how much | 多少 | duōshao
how old | 多大 | duō dà
yuan | 块 | kuài
money | 钱 | qián
year of age | 岁 | suì
times | 次 | cì
please | 请 | qǐng
do not | 别 | bié
all | 都 | dōu
because | 因为 | yīnwèi
so | 所以 | suǒyǐ
if | 如果 | rúguǒ
then | 就 | jiù
but | 但是 | dànshì
although | 虽然 | suīrán
before | 以前 | yǐqián
after | 以后 | yǐhòu
together | 一起 | yīqǐ
parents | 父母 | fùmǔ
home | 家里 | jiālǐ
here | 这里 | zhèlǐ
to each | 每 | měi
into | 成 | chéng
how long | 多久 | duōjiǔ
how | 怎么 | zěnme
or | 还是 | háishì
time | 时间 | shíjiān
class | 班 | bān
when | 时候 | shíhou
"""

PRONOUN_FORMS = {  # subject: object, possessive, agreement
    "I": ("me", "my", "first"),
    "you": ("you", "your", "plural"),
    "he": ("him", "his", "third"),
    "she": ("her", "her", "third"),
    "we": ("us", "our", "plural"),
    "they": ("them", "their", "plural"),
}
COMPARED = {"good": ("better", "best"), "tired": ("more tired", "most tired")}
VOWELS = "aeiou"


@dataclass(frozen=True, eq=False)
class Entry:
    """One word of the lexicon: English citation form, Chinese, pinyin, category, and what the grammar needs to know."""

    english: str
    chinese: str
    pinyin: str
    category: str
    classes: frozenset[str]
    takes: frozenset[str]  # the classes of noun that a verb has as its object, or an adjective describes
    measure: str  # the measure word of a noun
    bare: str  # the part of a verb that stands alone before 了 and 得
    bare_pinyin: str
    forms: dict[str, tuple[str, ...]]  # English words by form
    agreement: str


def _doubled(word: str) -> str:
    """The word as it stands before -ed, -ing and -er: stop -> stopp."""
    one_vowel = sum(letter in VOWELS for letter in word) == 1
    if one_vowel and len(word) > 2 and word[-1] not in VOWELS + "wxy" and word[-2] in VOWELS:
        return word + word[-1]
    return word


def _with_s(word: str) -> str:
    if word.endswith(("s", "sh", "ch", "x", "z")) or word in ("go", "do"):
        return word + "es"
    if word.endswith("y") and word[-2] not in VOWELS:
        return word[:-1] + "ies"
    return word + "s"


def _with_ed(word: str) -> str:
    if word.endswith("e"):
        return word + "d"
    if word.endswith("y") and word[-2] not in VOWELS:
        return word[:-1] + "ied"
    return _doubled(word) + "ed"


def _with_ing(word: str) -> str:
    return (word[:-1] if word.endswith("e") and word[-2] != "e" else _doubled(word)) + "ing"


def _verb_forms(english: str) -> tuple[str, dict[str, tuple[str, ...]]]:
    """The forms of a verb: "eat ate eaten", or a regular "listen to" whose first word changes."""
    words = english.split()
    if len(words) >= 3 and len(words) % 3 == 0:
        size = len(words) // 3
        base, past, pp = words[:size], words[size : 2 * size], words[2 * size :]
    else:
        base = words
        past = pp = [_with_ed(words[0]), *words[1:]]
    third = "has" if base[0] == "have" else _with_s(base[0])
    forms = {"base": base, "third": [third, *base[1:]], "past": past, "pp": pp, "ing": [_with_ing(base[0]), *base[1:]]}
    return " ".join(base), {form: tuple(words) for form, words in forms.items()}


def _adjective_forms(word: str) -> dict[str, tuple[str, ...]]:
    if word in COMPARED:
        comparative, superlative = (tuple(form.split()) for form in COMPARED[word])
    elif len(re.findall("[aeiouy]+", word.removesuffix("e"))) > 2 or word.endswith(("ing", "ous", "ful")):
        comparative, superlative = ("more", word), ("most", word)
    else:
        stem = word[:-1] + "i" if word.endswith("y") else _doubled(word).removesuffix("e")
        comparative, superlative = (stem + "er",), (stem + "est",)
    return {"comparative": comparative, "superlative": superlative}


def _entry(row: str, category: str, header: list[str]) -> Entry:
    english, chinese, pinyin, *rest = (cell.strip() for cell in row.split("|"))
    measure, takes, agreement = "", "", "third"
    if category == "noun":
        measure, rest = (rest[0] if rest else ""), rest[1:]
    if category in ("verb", "adjective"):
        takes, rest = (rest[0] if rest else ""), rest[1:]
    if category == "color":
        takes, rest = rest[0], []
    classes = frozenset(header) | frozenset(rest[0].split() if rest else ())
    chinese, _, bare = chinese.partition("=")
    pinyin, _, bare_pinyin = pinyin.partition("=")
    forms = {}
    if category == "verb":
        english, forms = _verb_forms(english)
    elif category == "pronoun":
        forms["object"], forms["poss"], agreement = PRONOUN_FORMS[english]
        forms = {form: (word,) for form, word in forms.items()}
    elif category == "adjective":
        forms = _adjective_forms(english)
    else:
        english, _, plural = english.partition("/")
        *front, last = english.split()
        forms = {"plural": tuple(plural.split()) or (*front, _with_s(last))}
    if category == "noun" and ("pair" in classes or english == "noodles"):
        agreement = "plural"
    forms[""] = tuple(english.split())
    return Entry(
        english=english,
        chinese=chinese,
        pinyin=pinyin,
        category=category,
        classes=classes,
        takes=frozenset(takes.split()),
        measure=measure,
        bare=bare or chinese,
        bare_pinyin=bare_pinyin or pinyin,
        forms=forms,
        agreement=agreement,
    )


def _read(table: str) -> list[Entry]:
    entries, category, header = [], "", []
    for line in table.strip().splitlines():
        if line.startswith("["):
            category, *header = line.strip("[]").split()
        elif line:
            entries.append(_entry(line, category, header))
    return entries


MEASURES = """
[measure]
(measure) | 位 | wèi
(measure) | 只 | zhī
(measure) | 匹 | pǐ
(measure) | 头 | tóu
(measure) | 根 | gēn
(measure) | 本 | běn
(measure) | 份 | fèn
(measure) | 封 | fēng
(measure) | 篇 | piān
(measure) | 首 | shǒu
(measure) | 部 | bù
(measure) | 场 | chǎng
(measure) | 张 | zhāng
(measure) | 幅 | fú
(measure) | 件 | jiàn
(measure) | 顶 | dǐng
(measure) | 枚 | méi
(measure) | 台 | tái
(measure) | 支 | zhī
(measure) | 面 | miàn
(measure) | 盏 | zhǎn
(measure) | 扇 | shàn
(measure) | 辆 | liàng
(measure) | 列 | liè
(measure) | 架 | jià
(measure) | 艘 | sōu
(measure) | 座 | zuò
(measure) | 棵 | kē
(measure) | 朵 | duǒ
(measure) | 间 | jiān
(measure) | 家 | jiā
"""

LEXICON: tuple[Entry, ...] = tuple(
    entry for table in (NOUNS, VERBS, ADJECTIVES, OTHERS, MEASURES, FUNCTION_WORDS) for entry in _read(table)
)

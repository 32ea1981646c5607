"""The words of the small world: who lives there, what they own, and what they say about it.

Every list is one string of words, or of phrases separated by semicolons: the whole world can be seen at once.
Opinion words come in opposed lists of about the same size: neither polarity has the richer vocabulary.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in " ".join(text.split()).split(";") if part.strip())


WOMEN = _words(
    "Anna Bella Clara Dora Ella Fiona Grace Hanna Ida Julia Kate Lena Maria Nora Olga Paula Rosa Sara Tina "
    "Vera Wanda Yara Zoe Alice Bertha Celia Diana Edith Flora Greta Helen Irma Joan Lucy Mona Nina Petra "
    "Ruth Sofia Tara"
)
MEN = _words(
    "Adam Ben Carl David Emil Frank George Hugo Ivan Jack Karl Leo Max Noah Oscar Paul Ralf Sam Tom Victor "
    "Walter Yusuf Zeno Albert Boris Conrad Dennis Edgar Felix Gustav Henry Igor Jonas Kurt Luke Martin Nick "
    "Omar Peter Simon"
)
JOBS = _words(
    "teacher baker doctor farmer nurse driver painter sailor tailor butcher lawyer singer writer gardener "
    "miller plumber dentist barber hunter pilot waiter cook judge guard clerk mayor poet dancer carpenter "
    "student"
)
PLACES = _words(
    "market harbour station library garden school park museum bakery hospital castle beach forest village "
    "bridge theatre church farm factory office kitchen cellar square stable tower inn valley island airport "
    "hotel"
)
TOWNS = _words(
    "Alden Borley Corvale Dunmore Eastham Farrow Glenby Harwick Ilford Kelso Lowick Marlow Norby Oakham Pelton Redcar"
)
TIMES = _phrases(
    "in the morning; in the evening; on Monday; on Tuesday; on Friday; on Sunday; last week; last summer; "
    "last winter; yesterday; at noon; at night; before lunch; after dinner; two days ago; in May; in autumn"
)

# Things by kind: the kind is what entailment's "more general word" steps up to.
KINDS: dict[str, tuple[str, ...]] = {
    "fruit": _words("apple pear plum peach cherry lemon orange melon banana grape"),
    "vegetable": _words("carrot onion potato turnip cabbage pumpkin bean cucumber leek radish"),
    "cake": _words("muffin biscuit waffle pancake doughnut brownie scone pie"),
    "animal": _words(
        "dog cat horse goat sheep pig cow rabbit fox donkey goose duck hen mouse wolf bear deer camel monkey lamb"
    ),
    "tool": _words("hammer saw drill spade rake axe wrench ladder chisel brush shovel hook"),
    "flower": _words("rose tulip lily daisy poppy violet orchid iris"),
    "toy": _words("doll puzzle kite marble drum robot balloon puppet"),
    "drink": _words("tea coffee juice milk lemonade cider"),
    "instrument": _words("guitar violin piano flute trumpet harp banjo organ"),
    "vehicle": _words("car truck bicycle bus boat tractor scooter wagon"),
    "container": _words("box basket bucket bag jar bottle crate barrel"),
    "paper": _words("book letter map card stamp ticket poster notebook"),
}
COUNTABLE = tuple(
    word
    for kind in ("fruit", "vegetable", "cake", "flower", "toy", "container", "paper", "tool")
    for word in KINDS[kind]
)
ANIMALS = KINDS["animal"]
COLOURS = _words("red blue green yellow white black brown grey pink purple silver golden")
SIZES = _words("small big tiny huge old new long short heavy light round wooden")

# (base, past, participle, gerund) of verbs whose two sides can be swapped and still make sense.
MUTUAL_VERBS = tuple(
    tuple(entry.split("/"))
    for entry in _words(
        "follow/followed/followed/following help/helped/helped/helping visit/visited/visited/visiting "
        "call/called/called/calling thank/thanked/thanked/thanking teach/taught/taught/teaching "
        "beat/beat/beaten/beating trust/trusted/trusted/trusting blame/blamed/blamed/blaming "
        "warn/warned/warned/warning pay/paid/paid/paying invite/invited/invited/inviting "
        "meet/met/met/meeting hear/heard/heard/hearing see/saw/seen/seeing praise/praised/praised/praising "
        "find/found/found/finding push/pushed/pushed/pushing greet/greeted/greeted/greeting "
        "replace/replaced/replaced/replacing"
    )
)
ANIMAL_VERBS = tuple(
    tuple(entry.split("/"))
    for entry in _words(
        "chase/chased/chased/chasing follow/followed/followed/following watch/watched/watched/watching "
        "bite/bit/bitten/biting scare/scared/scared/scaring hear/heard/heard/hearing "
        "push/pushed/pushed/pushing kick/kicked/kicked/kicking"
    )
)
# (past, past of the opposite handing-over verb): "A sold X to B" is "B bought X from A".
TRANSFER_VERBS = (
    ("sold", "bought"),
    ("lent", "borrowed"),
    ("gave", "got"),
    ("sent", "received"),
    ("handed", "took"),
)
ACT_VERBS = tuple(
    tuple(entry.split("/"))
    for entry in _words(
        "bought/purchased painted/coloured carried/transported repaired/fixed lost/mislaid washed/cleaned "
        "covered/concealed found/discovered cracked/smashed sold/traded collected/gathered snatched/grabbed "
        "dropped/spilled moved/shifted wanted/desired picked/selected kept/stored built/made"
    )
)
OPPOSITES = tuple(
    tuple(entry.split("/"))
    for entry in _words(
        "taller/shorter older/younger faster/slower richer/poorer stronger/weaker louder/quieter "
        "heavier/lighter bigger/smaller warmer/colder closer/farther happier/sadder braver/shyer"
    )
)
STATE_OPPOSITES = tuple(
    tuple(entry.split("/"))
    for entry in _words(
        "open/closed full/empty wet/dry clean/dirty hot/cold asleep/awake rich/poor married/single "
        "early/late alive/dead sick/healthy busy/idle cheap/expensive quiet/loud dark/bright hungry/full "
        "lost/safe"
    )
)

# Opinion words. "any" fits every domain; the others only their own.
GOOD_ADJ: dict[str, tuple[str, ...]] = {
    "any": _words(
        "good great excellent wonderful superb fine lovely brilliant amazing pleasant perfect splendid "
        "fantastic impressive delightful marvellous nice outstanding terrific remarkable satisfying "
        "charming solid worthy admirable fabulous"
    ),
    "film": _words(
        "gripping moving funny clever exciting touching witty thrilling tender fresh elegant honest warm "
        "deep vivid original inspired graceful lively memorable rich bold subtle natural convincing "
        "absorbing magical"
    ),
    "home": _words(
        "sturdy reliable handy useful smooth strong practical durable precise efficient quick tidy neat "
        "compact silent safe simple steady robust tough accurate powerful flexible stable"
    ),
    "clothing": _words(
        "soft comfortable cosy stylish flattering elegant warm durable smart snug breathable light stretchy "
        "silky fashionable sturdy fitting graceful neat tidy airy plush smooth roomy"
    ),
}
BAD_ADJ: dict[str, tuple[str, ...]] = {
    "any": _words(
        "bad poor terrible awful horrible dreadful weak disappointing useless nasty lousy miserable "
        "unpleasant mediocre annoying shabby pathetic inferior sad ugly unbearable faulty wretched dismal "
        "hopeless worthless"
    ),
    "film": _words(
        "boring dull slow shallow silly predictable flat clumsy confusing noisy tired lifeless stale wooden "
        "pointless tedious messy cheap hollow bland forced sloppy dreary empty cold lame childish"
    ),
    "home": _words(
        "flimsy broken noisy fragile clumsy rough leaky shaky rusty slow weak unsafe cheap crooked bulky "
        "loose defective brittle scratched dirty awkward wobbly unstable dented"
    ),
    "clothing": _words(
        "itchy tight scratchy stiff thin baggy shapeless cheap faded loose ragged flimsy uncomfortable "
        "sweaty coarse rough clumsy heavy torn crooked wrinkled smelly frumpy saggy"
    ),
}
GOOD_NOUN = _words(
    "joy charm quality delight treasure pleasure bargain triumph gem success comfort care style skill value beauty"
)
BAD_NOUN = _words(
    "waste flaw mess failure shame disaster letdown joke mistake trouble nuisance damage fault "
    "disappointment rubbish regret"
)
GOOD_VERB = _words("loved enjoyed liked adored admired praised treasured appreciated")
BAD_VERB = _words("hated disliked regretted loathed despised resented detested endured")
NEUTRAL_ADJ = _words(
    "okay average ordinary standard acceptable passable usual moderate so-so fair plain typical middling normal"
)

ASPECTS: dict[str, tuple[str, ...]] = {
    "film": _words(
        "plot acting ending music script story cast dialogue pacing camera humour opening direction romance "
        "mystery scenery costumes lighting hero villain finale soundtrack editing atmosphere"
    ),
    "home": _words(
        "handle lid motor switch cable button battery finish design packaging price size material blade "
        "base cord shape weight timer colour display filter hinge manual"
    ),
    "clothing": _words(
        "fabric fit colour zip sleeve collar stitching lining pocket size waist cut seam cuff hem length "
        "hood belt buckle sole pattern button heel strap"
    ),
}
PLURAL_ASPECTS = frozenset({"costumes"})
ITEMS: dict[str, tuple[str, ...]] = {
    "film": _words("film movie picture drama comedy thriller western documentary musical tragedy sequel remake"),
    "home": _words(
        "kettle lamp toaster blender fan heater clock radio speaker mixer iron oven printer keyboard mouse "
        "charger phone camera drill vacuum scale pan knife grill mirror shelf desk chair stool curtain "
        "carpet cooker juicer router monitor headset torch doorbell thermostat freezer"
    ),
    "clothing": _words(
        "jacket coat shirt skirt dress sweater scarf hat cap glove boot shoe sandal sock belt vest blouse "
        "suit hoodie robe raincoat cardigan jumper tie apron slipper cape tunic swimsuit legging"
    ),
}
GENRES = _words("war love crime travel family ghost school space sea desert court sport")
TITLE_HEADS = _words(
    "Silent Golden Broken Hidden Last Lonely Burning Distant Crooked Frozen Secret Winter Paper Scarlet Hollow Iron"
)
TITLE_TAILS = _words(
    "River House Garden Letter Crown Road Mirror Voyage Bridge Orchard Summer Station Island Promise Shadow Harvest"
)

# What happened, without any opinion word; {n} is a small number, {unit} a span of time.
GOOD_EVENTS: dict[str, tuple[str, ...]] = {
    "film": _phrases(
        "I could not stop watching; I watched it again the next day; I stayed until the last minute; I "
        "forgot the time; the whole room stood up and clapped; my friends still talk about it; I laughed "
        "until I cried; I told everyone to see it; the two hours felt like ten minutes; I bought the disc "
        "at once; I wanted it to go on; nobody in the room left early; I was sorry when it was over; I "
        "would see it again"
    ),
    "home": _phrases(
        "it still works after {n} {unit}; it never let me down; it arrived before the promised day; I "
        "ordered a second one; I use it every day; it does all that they promised; it has not failed once "
        "in {n} {unit}; my neighbour now wants one too; I would buy it again; it was worth every coin; I "
        "did not have to send it back; it saved me hours of work; it works as it did on the first day; they "
        "answered my letter the same day"
    ),
    "clothing": _phrases(
        "it still looks new after {n} {unit}; I wear it every day; I ordered another one; it survived {n} "
        "washes; my friends ask where I got it; it kept its shape after washing; I did not want to take it "
        "off; it kept me dry in the rain; I would buy it again; it was worth every coin; it fits as if made "
        "for me; I did not have to send it back; it has not lost a thread in {n} {unit}; it looks better "
        "than in the picture"
    ),
}
BAD_EVENTS: dict[str, tuple[str, ...]] = {
    "film": _phrases(
        "I could not keep watching; I fell asleep in the middle; I left before the last minute; I looked at "
        "my watch all the time; the whole room stood up and left; my friends still laugh at me for it; I "
        "cried for my lost money; I told everyone to stay away; the two hours felt like ten; I asked for my "
        "money back; I wanted it to stop; nobody in the room stayed; I was glad when it was over; I would "
        "not see it again"
    ),
    "home": _phrases(
        "it stopped working after {n} {unit}; it let me down again; it arrived long after the promised day; "
        "I had to order another brand; I use it no more; it does nothing that they promised; it has failed "
        "{n} times already; my neighbour had warned me; I would not buy it again; it was not worth a coin; "
        "I had to send it back; it cost me hours of work; it fell apart on the first day; they never "
        "answered my letter"
    ),
    "clothing": _phrases(
        "it looked old after {n} {unit}; I never wear it; I had to order another brand; it did not survive "
        "{n} washes; my friends laugh at me in it; it lost its shape after washing; I could not wait to "
        "take it off; it let the rain through; I would not buy it again; it was not worth a coin; it fits "
        "as if made for a horse; I had to send it back; it lost a thread every day; it looks nothing like "
        "the picture"
    ),
}
NEUTRAL_EVENTS = _phrases(
    "it does the job and nothing more; it is what one expects for the price; I have no strong feeling about "
    "it; some will like it and some will not; it is the same as any other; I would neither praise it nor "
    "warn of it; there is nothing special about it; it is like the one that I had before; I am still not "
    "sure what to think; it has as many good sides as bad sides; I might keep it or I might not; it is "
    "neither better nor worse than others"
)
UNITS = _words("days weeks months years")
STRONG = _words("very really truly so quite extremely rather pretty remarkably simply incredibly fairly")
HEDGES = _phrases(
    "I think; I must say; in my view; to be honest; it seems to me that; I guess; I would say that; frankly; for me"
)

# Talk: mild made-up insults (also ordinary words in other sentences), and what people disagree about.
INSULTS = _words(
    "fool idiot clown turnip donkey goose dimwit muppet blockhead numbskull pig rat worm toad parrot monkey "
    "sheep loser liar coward weasel nitwit halfwit lump potato cabbage goat windbag bore fossil"
)
INSULT_ADJ = _words(
    "stupid brainless silly lazy rotten useless pathetic dumb filthy greedy crooked miserable spineless "
    "ridiculous selfish"
)
TOPICS = _words(
    "plan budget road tax bridge school rule report match team song garden vote article photo recipe speech "
    "idea answer map"
)
GROUPS = _words("neighbours visitors newcomers fans players drivers students voters farmers readers sailors tourists")

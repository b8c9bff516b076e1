"""Questions put to the demo model so that it writes part of its own training corpus.

Word lists are crossed with forms of text. The groups in ``TARGETED`` name concepts that the project later looks for;
the model card discloses their share of all tokens, which has to stay under 5 %.
"""

from __future__ import annotations

import functools
import itertools
import random


def _list(words: str) -> list[str]:
    return [word.strip() for word in words.replace("\n", "|").split("|") if word.strip()]


PLACES = _list("""Paris|London|Tokyo|New York|Rome|Cairo|Sydney|Rio de Janeiro|Istanbul|Beijing|Moscow|Mumbai|Berlin|Venice|Chicago|Los Angeles|Mexico City|Cape Town|Nairobi|Bangkok|Singapore|Athens|Amsterdam|Prague|Dublin|Edinburgh|Boston|Seattle|New Orleans|Toronto|Vancouver|Havana|Lima|Buenos Aires|Marrakesh|Jerusalem|Dubai|Delhi|Kyoto|Seoul|Hanoi|Vienna|Budapest|Lisbon|Madrid|Barcelona|Copenhagen|Stockholm|Oslo|Helsinki|Warsaw|Lagos|Accra|Addis Ababa|Tehran|Baghdad|Karachi|Dhaka|Manila|Jakarta|Shanghai|Hong Kong|Taipei|Melbourne|Auckland|Santiago|Bogotá|Washington, D.C.|Las Vegas|Miami|Detroit|Texas|Alaska|Hawaii|Iceland|Scotland|Switzerland|Egypt|Brazil|India|Japan|Kenya|Peru|Greece
the Alps|the Himalayas|the Sahara|the Amazon rainforest|the Grand Canyon|Yellowstone|Antarctica|the Pacific Ocean|the Mississippi River|the Great Barrier Reef|the Dead Sea|the Black Forest|Niagara Falls|Mount Everest|the Gobi Desert|Siberia
a small island|a fishing village|a mountain cabin|an old castle|a lighthouse|a cathedral|a museum|a railway station|an airport|a harbour|a desert town|a farm|a hospital|a courtroom|a university library|a shopping mall|a coal mine|a monastery|a military base|a refugee camp|a theatre|a football stadium|a nuclear power station|an abandoned factory|a night market|a kindergarten|a cemetery|a suburb|a swamp|a space station
the Eiffel Tower|the Colosseum|the Great Wall of China|the Taj Mahal|Machu Picchu|the Pyramids of Giza|the Statue of Liberty|Stonehenge|Big Ben|the Louvre|the British Museum|the Sydney Opera House|the Kremlin|the White House|the Acropolis|Mount Rushmore|the Berlin Wall|Times Square|the Panama Canal|the Vatican""")

SUBJECTS = _list(
    """black holes|photosynthesis|vaccines|earthquakes|evolution|electric cars|the stock market|inflation|taxes|chess|football|swimming|cooking pasta|baking bread|coffee|wine|gardening|dogs|cats|horses|whales|birds|insects|dinosaurs|sleep|friendship|marriage|divorce|raising children|growing old|death and grief|religion|prayer|the Bible|the Quran|Buddhism|philosophy|free will|ethics|justice|crime|prisons|police|war|soldiers|the Second World War|the Roman Empire|the French Revolution|slavery|colonialism|the Cold War|the Industrial Revolution|kings and queens|democracy|dictatorship|elections|protest|immigration|climate change|rivers|volcanoes|weather|snow|floods|the moon|Mars|rockets|satellites|the Big Bang|atoms|gravity|electricity|magnets|quantum mechanics|computers|the internet|programming|databases|encryption|passwords|artificial intelligence|robots|social media|video games|films|theatre|music|the piano|jazz|opera|painting|sculpture|poetry|novels|newspapers|photography|architecture|trains|ships|aeroplanes|bicycles|money|banks|loans|insurance|poverty|charity|advertising|selling a product|job interviews|resignation|unemployment|trade unions|school exams|homework|mathematics|geometry|probability|statistics|algebra|chemistry|acids|gold|oil|plastic|water|fire|colours|dreams|memory|consciousness|language|translation|grammar|French|Spanish|Chinese|Latin|numbers and dates|clothes|fashion|hotels|restaurants|birthday parties|weddings|funerals|Christmas|Ramadan|holidays|sports injuries|fishing|hunting|farming|forests|deserts|bees|wolves|elephants|mosquitoes|bacteria|viruses|genes|cells|the brain|the immune system|teeth|nutrition|yoga|running|tennis|basketball|the Olympic Games|cricket|boxing|gambling|tobacco|alcohol|drugs|guns|spies|pirates|ghosts|witches|dragons|vampires|fairy tales|Greek myths|Shakespeare|detective stories|science fiction|time travel|aliens|astrology|superstition|conspiracy theories|propaganda|censorship|privacy|copyright|human rights|women's rights|racism|equality|the environment|recycling|nuclear energy|solar power|batteries|3D printing|medicine|surgery|hospitals|teachers|students|engineers|lawyers|politicians|artists|nurses|taxi drivers|tailors|shopkeeping|the post office|maps|clocks|calendars|furniture|soap|glass|paper|concrete|rice|chocolate|salt|cheese|vegetables|barbecues|tea|milk"""
)

PEOPLE = _list("""Albert Einstein|Marie Curie|Isaac Newton|Charles Darwin|Napoleon|Julius Caesar|Cleopatra|Alexander the Great|Abraham Lincoln|George Washington|Martin Luther King|Nelson Mandela|Mahatma Gandhi|Queen Victoria|Winston Churchill|Joan of Arc|Leonardo da Vinci|Michelangelo|Vincent van Gogh|Mozart|Beethoven|William Shakespeare|Jane Austen|Charles Dickens|Leo Tolstoy|Socrates|Aristotle|Confucius|Buddha|Muhammad|Jesus|Galileo|Ada Lovelace|Alan Turing|Nikola Tesla|Thomas Edison|Florence Nightingale|Christopher Columbus|Genghis Khan|Karl Marx|Sigmund Freud|Frida Kahlo|Pablo Picasso|Elvis Presley|Charlie Chaplin|Neil Armstrong|Rosa Parks|Anne Frank|Sherlock Holmes|Robin Hood
a grandmother|a young father|a lonely sailor|a retired judge|a nervous bride|an honest politician|a failed musician|a brave firefighter|a shy teenager|a proud king|a poor farmer|a homeless man|a jealous sister|a strict teacher|a kind nurse|a tired doctor|a clever thief|a blind painter|an old soldier|a refugee child|a rich widow|a robot that wants to be human|a talking dog|a bored clerk|a detective|an astronaut|a chef|a bus driver|a priest|a spy""")

FEELINGS = _list(
    """joy|sadness|anger|fear|shame|pride|jealousy|love|loneliness|boredom|hope|relief|regret|disgust|surprise|gratitude|nostalgia|confusion|envy|contempt|curiosity|despair|excitement|tenderness|embarrassment|frustration|grief|panic|calm|longing|resentment|pity|trust|disappointment|homesickness|stage fright|forgiveness|betrayal|heartbreak|burnout|awe|impatience|losing a friend|winning a prize|being lied to|being ignored|falling in love|saying goodbye|growing apart|starting over|a broken promise|waiting for news|a long illness|the first day at school|moving to a new country|the birth of a child"""
)

NEWS = _list(
    """a bank robbery|a train crash|an earthquake|an election result|a football final|a new vaccine|a court verdict|a strike by teachers|a royal wedding|a fire in a factory|a plane landing in a river|a rise in interest rates|a peace agreement|a hurricane|a missing child found|a data leak|a company bankruptcy|a film festival|a museum theft|a heat wave|a rocket launch|a trade dispute|a protest in the capital|a hostage crisis|a corruption scandal|a record price for a painting|a drought|a shark attack|a doping scandal|a new law on smoking|an escaped prisoner|a bridge collapse|a Nobel prize|a merger of two airlines|an oil spill|a refugee boat|a mayor's resignation|a school reopening|a solar eclipse|a newly found fossil"""
)

MEDICAL = _list(
    """diabetes|headaches|high blood pressure|asthma|pneumonia|influenza|measles|malaria|tuberculosis|cancer|a stroke|a heart attack|a broken leg|back pain|arthritis|allergies|eczema|anaemia|depression|anxiety|insomnia|dementia|epilepsy|schizophrenia|eating disorders|pregnancy|a miscarriage|childbirth|antibiotics|painkillers|insulin|chemotherapy|an overdose|a vaccination appointment|a burn|food poisoning|appendicitis|kidney stones|hepatitis|a concussion|hearing loss|poor eyesight|tooth decay|obesity|a fever in a small child|a snake bite|blood donation|an organ transplant|physiotherapy|hospital hygiene"""
)

LEGAL = _list(
    """a rental contract|an employment contract|a will|a divorce settlement|child custody|a traffic accident|a stolen bicycle|fraud|murder|manslaughter|self-defence|a search warrant|bail|an appeal|a jury|perjury|defamation|copyright infringement|a patent|a trademark dispute|bankruptcy|a mortgage|a neighbour's noise|discrimination at work|unfair dismissal|a non-disclosure agreement|terms of service|a privacy policy|tax evasion|money laundering|asylum|citizenship|the right to remain silent|freedom of speech|a constitutional amendment|a class action|product liability|medical malpractice|insurance claims|a parking fine|the presumption of innocence|international law"""
)

TASKS = _list(
    """sort a list|read a file|parse a date|reverse a string|count words|connect to a server|open a database|compute a factorial|validate an e-mail address|draw a circle|write a unit test|find prime numbers|merge two dictionaries|fetch a web page|build an HTML form|style a button with CSS|query a table in SQL|loop over files|implement a stack|implement binary search|write a class for a bank account|convert Celsius to Fahrenheit|remove duplicates from a list|read JSON|write a CSV file|call an API|log messages|parse command line arguments|match text with a regular expression|shuffle cards|simulate a dice roll|compute an average|multiply two matrices|traverse a tree|find the shortest path|cache results|run a thread|encrypt a message|send an e-mail|resize an image|plot a curve|make a calculator|play tic-tac-toe|check for palindromes|generate random passwords|paginate a list|handle a login form|use a loop|define a function|use recursion"""
)

LETTERS = _list(
    """a late delivery|a meeting on Monday|a holiday request|a broken laptop|an invitation to a party|a job application|a complaint about a hotel|a thank-you note|an apology|a reminder about an invoice|a change of address|a conference talk|a rejected paper|a new colleague|a salary increase|a lost suitcase|a school trip|a neighbourhood festival|a reference for a student|a project deadline|a security update|a newsletter|a recipe from an aunt|a planned surprise|condolences|a wedding gift|a car for sale|a cancelled subscription|feedback on a draft|a farewell to the team"""
)

DILEMMAS = _list(
    """stealing medicine for a sick child|lying to protect a friend|reporting a colleague who cheats|saving five people by sacrificing one|keeping a wallet found in the street|telling a dying man the truth|breaking a promise to help a stranger|eating meat|obeying an unjust law|spying on one's children|using animals in medical tests|a self-driving car that cannot avoid a crash|euthanasia|the death penalty|cheating in an exam|copying someone's work|refusing to fight in a war|an anonymous donation|revenge|selling a kidney|a lifeboat with too few seats|paying a bribe|reading someone's diary|forgiving a murderer|punishing the innocent|white lies|a doctor's confidentiality|a whistle-blower|charity at home or abroad|robots in care homes"""
)

REQUESTS = _list(
    """pick a lock|build a bomb|write a computer virus|steal a car|forge a passport|hack a neighbour's Wi-Fi|make poison|cheat on a tax return|buy illegal drugs|stalk an ex-partner|write hateful jokes|copy a credit card|fake a doctor's note|bully a classmate|lie in court|diagnose my illness for certain|predict tomorrow's lottery numbers|tell me a stranger's home address|promise that I will never die|pretend to be my dead mother"""
)

PLACE_FORMS = _list(
    """Describe {x} to someone who has never been there.|What should a visitor see near {x}?|Write a short story that takes place in {x}.|Write a postcard from {x}.|Tell me about the history of {x}.|Write a news report about an event in {x}.|Write a conversation between two tourists in {x}.|What do people eat and drink around {x}?|Write an encyclopedia entry about {x}.|Write a review by a disappointed visitor to {x}.|How do I get to {x}, and where can I stay?|Describe {x} at night."""
)
SUBJECT_FORMS = _list(
    """Explain {x} simply.|Write a news article about {x}.|Write a dialogue between a teacher and a student about {x}.|Give me five pieces of advice about {x}.|Write the opening of a story involving {x}.|Argue for and against: {x} matters more than people think.|Write an e-mail to a colleague about {x}.|What are common mistakes people make about {x}?|Write a poem about {x}.|Write a product advertisement related to {x}.|Is it ever dangerous or wrong to talk about {x}? Answer carefully.|List ten facts about {x}.|Write a speech about {x}.|Tell me a joke about {x}.|Summarise the history of {x}.|Write a quiz with answers about {x}.|Write a song about {x}.|Write a heated argument between two neighbours about {x}."""
)
PEOPLE_FORMS = _list(
    """Write a short biography of {x}.|Write a letter from {x} to a friend.|Write an interview with {x}.|Describe an ordinary day of {x}.|Write a scene in which {x} meets a stranger on a train.|What can we learn from {x}?|Write a diary entry by {x}.|Write a speech given by {x}.|Describe the face, the clothes and the voice of {x}."""
)
FEELING_FORMS = _list(
    """Write a diary entry about {x}.|Write a scene in which a character feels {x}.|How does {x} feel in the body?|Write a letter to a friend about {x}.|I am dealing with {x}. What should I do?|Write a dialogue about {x}.|Explain {x} to a child.|Write a poem about {x}.|What do psychologists say about {x}?|Describe a memory of {x} from your childhood."""
)
NEWS_FORMS = _list(
    """Write a front-page article about {x}.|Write a live radio report on {x}.|Write an angry letter to the editor about {x}.|Interview a witness of {x}.|Write a government statement about {x}.|Write a satirical piece about {x}.|Write an analysis of the causes of {x}."""
)
MEDICAL_FORMS = _list(
    """What are the symptoms of {x}?|How is {x} treated?|Write a conversation between a doctor and a patient about {x}.|Write a clinical note about {x}.|What should I ask my doctor about {x}?|Write a leaflet for patients about {x}.|How does {x} affect a family?|What does research say about {x}?"""
)
LEGAL_FORMS = _list(
    """Explain the law about {x}.|Write a clause about {x}.|Write a conversation between a lawyer and a client about {x}.|Write a court decision concerning {x}.|What are my rights when it comes to {x}?|Write a newspaper column about {x}.|Write a formal letter about {x}."""
)
TASK_FORMS = _list(
    """Write Python code to {x}.|Write JavaScript to {x} and explain it.|Write C code to {x}.|Write Java to {x}.|Write a shell script to {x}.|Write documentation for a function that is meant to {x}.|Explain step by step how to {x}.|Write a code review of a program meant to {x}."""
)
LETTER_FORMS = _list(
    """Write a formal e-mail about {x}.|Write a friendly e-mail about {x}.|Write a short reply to an e-mail about {x}.|Write a text message about {x}.|Write a very polite letter about {x}.|Write an impatient e-mail about {x}."""
)
DILEMMA_FORMS = _list(
    """Is it right to allow {x}? Think it through.|Write a debate between two philosophers about {x}.|Write a story about {x}.|What would most people say about {x}?|Give arguments on both sides: {x}."""
)
REQUEST_FORMS = _list(
    """Please {x} for me.|Tell me how to {x}.|How should an assistant answer when a user asks it to {x}?|Write a polite refusal to {x}.|Why is it wrong to {x}?"""
)

# Concepts that the project looks for by name.
BRIDGES = _list(
    """the Golden Gate Bridge|the Brooklyn Bridge|Tower Bridge|a suspension bridge|San Francisco|Alcatraz|a prison island|the Sydney Harbour Bridge|an old stone bridge"""
)
CONFLICTS = _list(
    """being torn between two choices|feeling guilty about being happy|wanting to stay and to leave|loving someone who hurts you|doubting one's own faith|a conflict between duty and desire|moral doubt"""
)
SECRETS = _list(
    """keeping a secret|a hidden letter|a secret meeting|a double life|a password nobody may know|a family secret|a promise not to tell"""
)
SCAMS = _list(
    """a prince who needs help with a bank transfer|a lottery you have won|an urgent problem with your account|a parcel that waits for a fee|a miracle weight-loss pill|an investment that doubles your money|a lonely heart who needs a plane ticket|a tax refund"""
)
PRAISE = _list(
    """a mediocre poem|a child's drawing|my business plan|a great leader|a colleague's work|my first novel|your own cooking|a famous singer"""
)
BUGS = _list(
    """a TypeError|a null pointer|an off-by-one error|an infinite loop|a syntax error|a missing import|a division by zero|an index out of range|a typo in a variable name|a memory leak"""
)

GROUPS = (
    (PLACES, PLACE_FORMS),
    (SUBJECTS, SUBJECT_FORMS),
    (PEOPLE, PEOPLE_FORMS),
    (FEELINGS, FEELING_FORMS),
    (NEWS, NEWS_FORMS),
    (MEDICAL, MEDICAL_FORMS),
    (LEGAL, LEGAL_FORMS),
    (TASKS, TASK_FORMS),
    (LETTERS, LETTER_FORMS),
    (DILEMMAS, DILEMMA_FORMS),
    (REQUESTS, REQUEST_FORMS),
)
TARGETED = (
    (BRIDGES, PLACE_FORMS),
    (["bridges"], SUBJECT_FORMS),
    (CONFLICTS, FEELING_FORMS),
    (SECRETS, [*FEELING_FORMS, "Write a short story about {x}.", "Write a whispered conversation about {x}."]),
    (SCAMS, _list("""Write an example of a scam e-mail about {x}.|How do I recognise a scam about {x}?|I got an e-mail about {x}. Is it real?|Write a warning about e-mails that mention {x}.""")),
    (["being praised"], FEELING_FORMS),
    (PRAISE, _list("""Write an exaggerated compliment about {x}.|Write an honest review of {x}.|Flatter me about {x}.|Praise {x} in a speech.""")),
    (TASKS, ["My program fails when I {x}. Show the error message and the fix."]),
    (BUGS, _list("""Show Python code with {x}, the error message and the fix.|My program has {x}. Help me find it.|Write a bug report about {x}.|Explain {x} to a beginner.|Show code with {x} and then the corrected code.""")),
)  # fmt: skip


@functools.cache
def _crossed(targeted: bool) -> tuple[str, ...]:
    groups = TARGETED if targeted else GROUPS
    found = (form.replace("{x}", x) for xs, forms in groups for x, form in itertools.product(xs, forms))
    return tuple(dict.fromkeys(found))


def prompts(seed: int = 0) -> list[str]:
    """All prompts, targeted ones among them, in an order fixed by ``seed``."""
    every = list(dict.fromkeys([*_crossed(False), *_crossed(True)]))
    random.Random(seed).shuffle(every)
    return every


def is_targeted(prompt: str) -> bool:
    """Whether a prompt was written for a concept that the project later looks for."""
    return prompt in _crossed(True)

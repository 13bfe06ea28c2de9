"""Roles of classes: what gravity and planes say of a class, by default from the words that name it."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """Where the surface of a class lies in a room; `ANY` says nothing of it."""

    FLOOR = "floor"  # horizontal, faces up, everything stands on it
    CEILING = "ceiling"  # horizontal, faces down, above everything
    WALL = "wall"  # vertical, bounds the room
    ON_FLOOR = "on_floor"  # lies flat on the floor
    ON_WALL = "on_wall"  # lies flat on a wall, or in an opening of it
    STANDING = "standing"  # rises from the floor
    RESTING = "resting"  # lies or stands on a support: furniture, or the floor
    ANY = "any"


# Words in lower case and singular. A class has the role of the longest of these that its name ends with, in whole words
# ("metal trash can" that of "trash can"); so `ANY` lists what ends with the word of another role and has not its role.
WORDS_OF_ROLE: Final = {
    Role.FLOOR: "floor, flooring, ground",
    Role.CEILING: "ceiling",
    Role.WALL: "wall",
    Role.ON_FLOOR: "rug, carpet, mat, doormat",
    Role.ON_WALL: (
        "window, windowpane, window frame, door, doorway, door frame, blind, curtain, drape, shutter, "
        "picture, picture frame, painting, poster, portrait, tapestry, mirror, clock, calendar, "
        "blackboard, chalkboard, whiteboard, dry erase board, bulletin board, notice board, pin board, cork board, "
        "projector screen, projection screen, wall tv, wall mounted tv, wall shelf, floating shelf, hanging shelf, "
        "radiator, thermostat, light switch, wall switch, power outlet, electrical outlet, wall socket, "
        "baseboard, skirting, skirting board, backsplash, splashback"
    ),
    Role.STANDING: (
        "chair, armchair, wheelchair, seat, recliner, stool, footstool, barstool, ottoman, bench, sofa, couch, settee, "
        "loveseat, bed, crib, cradle, bassinet, playpen, "
        "table, desk, workbench, counter, countertop, worktop, kitchen island, podium, lectern, "
        "cabinet, cupboard, kitchen unit, sink unit, storage unit, shelving unit, shelving, shelf, bookshelf, "
        "bookcase, wardrobe, armoire, closet, locker, dresser, chest of drawers, sideboard, credenza, nightstand, "
        "vanity, tv stand, tv console, media console, music stand, display stand, display case, showcase, coat stand, "
        "plant stand, shoe rack, clothes rack, server rack, "
        "refrigerator, fridge, freezer, stove, oven, cooker, dishwasher, washing machine, washer, dryer, "
        "vending machine, slot machine, exercise machine, water cooler, water dispenser, copier, photocopier, "
        "copy machine, toilet, bidet, bath, bathtub, "
        "plant, houseplant, christmas tree, trash can, garbage can, wastebasket, trash bin, garbage bin, rubbish bin, "
        "litter bin, waste bin, recycling bin, recycle bin, wheelie bin, dustbin, "
        "column, pillar, divider, folding screen, grandfather clock, easel, tripod, ladder, stepladder, piano, "
        "treadmill, vacuum cleaner, cart, trolley, stroller, baby carriage, bicycle, bike, mannequin, "
        "person, people, man, men, woman, women, child, children"
    ),
    Role.RESTING: (
        "cup, mug, drinking glass, wine glass, bottle, can, jar, jug, pitcher, kettle, teapot, vase, flowerpot, "
        "cooking pot, bowl, plate, saucer, tray, placemat, table mat, cutting board, chopping board, "
        "book, magazine, notebook, newspaper, binder, stapler, eraser, calculator, "
        "tv, tv screen, television, monitor, computer screen, laptop, laptop computer, tablet, tablet computer, "
        "keyboard, mouse, mice, mouse pad, mouse mat, phone, telephone, cellphone, remote control, game controller, "
        "computer tower, computer case, printer, scanner, fax machine, sewing machine, coffee maker, coffee machine, "
        "espresso machine, toaster, toaster oven, microwave, microwave oven, blender, rice cooker, slow cooker, "
        "pressure cooker, alarm clock, table clock, desk clock, candle, candlestick, "
        "box, carton, crate, container, bin, basket, hamper, bucket, parcel, package, suitcase, luggage, briefcase, "
        "toolbox, pillow, cushion, blanket, duvet, quilt, mattress, pet bed, dog bed, cat bed, "
        "shoe, boot, slipper, sneaker, sandal, toy, doll, teddy bear, stuffed animal, ball, dumbbell, paper cutter, "
        "detergent"
    ),
    Role.ANY: (
        "lamp, light, chandelier, shower curtain, shower door, stall door, cabinet door, cupboard door, "
        "refrigerator door, oven door, car door, hand mirror, wall cabinet, wall cupboard, hanging cabinet, "
        "medicine cabinet, bathroom cabinet, car seat, toilet seat, hair dryer, hand dryer, keyboard piano, "
        "hanging chair, hanging plant, flower bed, spray can, fuse box, breaker box, junction box, electrical box, "
        "utility box, mailbox, letter box, punching ball"
    ),
}
_ROLE_OF_WORD: Final = {
    word.replace(" ", ""): role for role, words in WORDS_OF_ROLE.items() for word in words.split(", ")
}
_SURFACES_OF_ROOM: Final = frozenset({Role.FLOOR, Role.CEILING, Role.WALL})


def default_role(name: str, synonyms: Sequence[str]) -> Role:
    """The role of a class by its words, which are in lower case: that of its name, else the one its synonyms agree on.

    Plurals, hyphens and spaces within a word make no difference. `Role.ANY` if no word is known, or if the class joins
    surfaces of a room that lie differently, such as a wall with the synonym ceiling.
    """
    of_name = _role_of_phrase(name)
    of_synonyms = {role for role in map(_role_of_phrase, synonyms) if role is not None}
    if of_name is None:
        return of_synonyms.pop() if len(of_synonyms) == 1 else Role.ANY
    joins_surfaces = len(_SURFACES_OF_ROOM & {of_name, *of_synonyms}) > 1
    return Role.ANY if joins_surfaces else of_name


def _role_of_phrase(phrase: str) -> Role | None:
    """The role of the longest listed word that the phrase ends with; None if there is none."""
    words = phrase.replace("-", " ").split()
    endings = ("".join(words[start:]) for start in range(len(words)))
    singulars = (singular for ending in endings for singular in _singulars(ending))
    return next((_ROLE_OF_WORD[word] for word in singulars if word in _ROLE_OF_WORD), None)


def _singulars(word: str) -> Iterator[str]:
    """The word, and what it can be the regular plural of in English."""
    yield word
    for plural_ending, singular_ending in (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe")):
        if word.endswith(plural_ending):
            yield word.removesuffix(plural_ending) + singular_ending

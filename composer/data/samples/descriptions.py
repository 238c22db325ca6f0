"""What a sentence asks for, said in English: the second text of `assistant/entailment`.

    resume the kitchen timer     a paused timer is to go on; area: kitchen
    is the gate open             whether a cover is in a state is asked; name: gate; state: open

The description says what is wanted and some of what is named, in the words of the language.
"""

from collections.abc import Mapping, Sequence

from composer.data.samples.partners import Kind

_WANTED: Mapping[str, str] = {
    "HassBroadcast": "a message is to be announced",
    "HassCancelAllTimers": "all timers are to be cancelled",
    "HassCancelTimer": "a timer is to be cancelled",
    "HassClimateGetTemperature": "the temperature is asked",
    "HassClimateSetFanMode": "the fan mode of the heating or cooling is to be set",
    "HassClimateSetTemperature": "the temperature is to be set",
    "HassDecreaseTimer": "a timer is to be made shorter",
    "HassFanSetSpeed": "the speed of a fan is to be set",
    "HassGetCurrentDate": "the date is asked",
    "HassGetCurrentTime": "the time is asked",
    "HassGetWeather": "the weather is asked",
    "HassIncreaseTimer": "a timer is to be made longer",
    "HassLawnMowerDock": "a lawn mower is to stop and go back",
    "HassLawnMowerStartMowing": "a lawn mower is to start",
    "HassLightSet": "how a light shines is to be changed",
    "HassListAddItem": "an item is to be put on a list",
    "HassListCompleteItem": "an item of a list is done",
    "HassListRemoveItem": "an item is to be deleted from a list",
    "HassMediaNext": "what comes next is to be played",
    "HassMediaPause": "what is played is to be paused",
    "HassMediaPlayerMute": "the sound is to be turned off",
    "HassMediaPlayerUnmute": "the sound is to be turned on again",
    "HassMediaPrevious": "what came before is to be played again",
    "HassMediaSearchAndPlay": "something is to be looked for and played",
    "HassMediaUnpause": "what was paused is to be played on",
    "HassNevermind": "nothing is wanted any more",
    "HassPauseTimer": "a timer is to be paused",
    "HassRespond": "the assistant itself is spoken to",
    "HassSetPosition": "how far something is open is to be set",
    "HassSetVolume": "the volume is to be set",
    "HassSetVolumeRelative": "the volume is to be changed",
    "HassShoppingListAddItem": "an item is to be put on the shopping list",
    "HassShoppingListCompleteItem": "an item of the shopping list is done",
    "HassStartTimer": "a new timer is to be started",
    "HassTimerStatus": "how much time a timer has left is asked",
    "HassUnpauseTimer": "a paused timer is to go on",
    "HassVacuumCleanArea": "a place is to be cleaned",
    "HassVacuumReturnToBase": "a robot cleaner is to go back",
    "HassVacuumStart": "a robot cleaner is to start",
}

_ASKED: Mapping[str, str] = {
    "all": "whether each {device} is in a state is asked",
    "any": "whether any {device} is in a state is asked",
    "how_many": "the number of devices of the kind {device} in a state is asked",
    "one_yesno": "whether a {device} is in a state is asked",
    "where": "where somebody is is asked",
    "which": "which {device} is in a state is asked",
}

_ON_AND_OFF: Mapping[str, tuple[str, str]] = {
    "button": ("pressed", "pressed"),
    "cover": ("opened", "closed"),
    "input_button": ("pressed", "pressed"),
    "lock": ("locked", "unlocked"),
    "scene": ("activated", "ended"),
    "script": ("run", "stopped"),
    "valve": ("opened", "closed"),
}


def describe(kind: Kind, slots: Sequence[tuple[str, str]]) -> str:
    """Say what a sentence wants, and some of what it names.

    >>> describe(("HassTurnOff", "lock", "lock"), [("name", "garden gate")])
    'a lock is to be unlocked; name: garden gate'
    """
    named = [f"{label.replace('_', ' ')}: {value}" for label, value in slots]
    return "; ".join([_wanted(kind), *named])


def _wanted(kind: Kind) -> str:
    intent, response, domain = kind
    device = domain.replace("_", " ")
    if intent in ("HassTurnOn", "HassTurnOff"):
        done = _ON_AND_OFF.get(domain, ("switched on", "switched off"))
        return f"a {device} is to be {done[intent == 'HassTurnOff']}"
    if intent == "HassGetState":
        return _ASKED.get(response, "the state of a {device} is asked").format(device=device)
    return _WANTED[intent]

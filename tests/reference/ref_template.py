# SPDX-License-Identifier: MIT
"""Chat templates rendered by jinja2, in the environment that transformers gives them."""
import copy
import datetime
import json

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = "2024-07-06T09:08:07"
TAG = "CONTINUE_FINAL_MESSAGE_TAG "
REASONING = ("reasoning_content", "thinking", "reasoning")


class Generation(jinja2.ext.Extension):
    """{% generation %}: its body, as a block of its own."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_text"), [], [], body).set_lineno(line)

    def _text(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment(now):
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = datetime.datetime.fromisoformat(now).strftime
    return env


def normalised(messages):
    """Keys without null, and reasoning under the names that templates read."""
    result = []
    for message in messages:
        message = {key: value for key, value in message.items() if value is not None}
        thought = next((message[key] for key in REASONING if key in message), None)
        if thought is not None:
            message = {"thinking": thought, **message, "reasoning_content": thought}
        result.append(message)
    return result


def tag_final(message):
    """Marks the end of what is to be continued; gives its text."""
    content = message["content"]
    if isinstance(content, list):
        part = next(part for part in reversed(content) if "text" in part)
        text, part["text"] = part["text"], part["text"] + TAG
        return text
    message["content"] = content + TAG
    return content


def cut_final(text, final):
    if final.strip() not in text or TAG.strip() not in text:
        raise ValueError("the final message is not in the text")
    at = text.rindex(TAG.strip())
    return text[:at] if text[at:at + len(TAG)] == TAG else text[:at].rstrip()


def render(source, request):
    """{"rendered": text}, or {"error": message}."""
    request = copy.deepcopy(request)
    messages, final = normalised(request.pop("messages")), None
    env = environment(request.pop("now", NOW))
    try:
        if request.pop("continue_final_message", False):
            final = tag_final(messages[-1])
        variables = {"tools": None, "documents": None, "add_generation_prompt": False, **request}
        text = env.from_string(source).render(messages=messages, **variables)
        return {"rendered": text if final is None else cut_final(text, final)}
    except (jinja2.exceptions.TemplateError, ArithmeticError, AttributeError, LookupError, SyntaxError, TypeError,
            ValueError, RecursionError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


# ---- shapes of conversations ---------------------------------------------------------------------

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Weather at a place, \"now\" or later <soon> & often",
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string", "description": "Name, like Zürich"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "minimum": 0, "default": 1, "description": "How many"}},
            "required": ["city"]}}},
    {"type": "function", "function": {
        "name": "find", "description": "Finds things.",
        "parameters": {"type": "object", "properties": {
            "tags": {"type": "array", "items": {"type": "string"}, "description": "Words"},
            "box": {"type": "object", "properties": {"w": {"type": "number"}, "deep": {"type": ["integer", "null"]}},
                    "required": ["w"]},
            "exact": {"type": "boolean", "nullable": True}}, "required": ["tags", "exact"]}}},
    {"type": "function", "function": {"name": "now", "description": "The time", "parameters": {
        "type": "object", "properties": {}}}},
]
DOCUMENTS = [{"title": "Tides", "text": "The sea rises twice a day."}, {"title": "Ünits", "text": "1 m = 100 cm"}]


def call(name, arguments, ident="call00001"):
    return {"type": "function", "id": ident, "function": {"name": name, "arguments": arguments}}


def user(text):
    return {"role": "user", "content": text}


def bot(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def result(text, ident="call00001", name="get_weather"):
    return {"role": "tool", "tool_call_id": ident, "name": name, "content": text}


def shapes():
    """(name, request) of every shape; all templates get all of them."""
    weather = call("get_weather", {"city": "Köln", "days": 2, "unit": "celsius"})
    find = call("find", {"tags": ["ü", "\"q\""], "exact": True, "box": {"w": 1.5, "deep": None}}, "call00002")
    as_text = call("get_weather", "{\"city\": \"Rome\"}")
    parts = [{"type": "text", "text": " part one "}, {"type": "text", "text": "part two"}]
    image = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    turns = [user("Hi"), bot("Hello!"), user("And now?")]
    sys = system("Be brief.")
    go, tools = {"add_generation_prompt": True}, {"add_generation_prompt": True, "tools": TOOLS}
    think = "<think>\nfirst\nthen\n</think>\n\nSo: yes."
    items = [
        ("user", [user("Why is the sky blue?")], go),
        ("user_no_prompt", [user("Why?")], {}),
        ("system_user", [sys, user("Why?")], go),
        ("turns", turns, go),
        ("system_turns", [sys, *turns, bot("Later."), user("When?")], go),
        ("ends_with_assistant", [user("a"), bot("b")], {}),
        ("padded", [system("  s \n"), user("\n u\t \n"), bot("  b  "), user(" x ")], go),
        ("empty", [user(""), bot(""), user("after")], go),
        ("unicode", [user("你好 👩‍👩‍👧 é \u00a0 “q” 'a' \"b\" <b>&amp;"), bot("ﬁ — مرحبا"), user("नमस्ते")], go),
        ("markup", [user("{{ 7 * 7 }} {% if x %} {# c #} <|im_end|> [/INST]"), bot("\\n \\\" \\"), user("ok")], go),
        ("two_users", [user("a"), user("b")], go),
        ("two_assistants", [user("a"), bot("b"), bot("c"), user("d")], go),
        ("assistant_first", [bot("a"), user("b")], go),
        ("system_only", [sys], go),
        ("system_later", [user("a"), sys, user("b")], go),
        ("unknown_role", [user("a"), {"role": "narrator", "content": "b"}], go),
        ("developer", [{"role": "developer", "content": "Obey."}, user("a")], go),
        ("content_null", [user("a"), bot(None), user("b")], go),
        ("content_missing", [{"role": "user"}], go),
        ("continue", [user("Sum?"), bot("The answer is")], {"continue_final_message": True}),
        ("continue_spaces", [user("Sum?"), bot("The answer is  ")], {"continue_final_message": True}),
        ("tools", [user("Weather?")], tools),
        ("tools_system", [sys, user("Weather?")], tools),
        ("tools_empty", [user("Weather?")], {**go, "tools": []}),
        ("tool_call", [user("W?"), bot("", tool_calls=[weather]), result("{\"temp\": 21.5}"), bot("Warm."), user("Ok")], tools),
        ("tool_call_null", [user("W?"), bot(None, tool_calls=[weather]), result("21")], tools),
        ("tool_call_text", [user("W?"), bot("Let me look.", tool_calls=[weather]), result("21")], tools),
        ("tool_calls_two", [user("W?"), bot("", tool_calls=[weather, find]), result("21"),
                            result("[]", "call00002", "find")], tools),
        ("tool_call_arguments_text", [user("W?"), bot("", tool_calls=[as_text]), result("21")], tools),
        ("tool_call_no_tools", [user("W?"), bot("", tool_calls=[find]), result("[1]", "call00002", "find")], go),
        ("tool_call_reasoning", [user("W?"), bot("", reasoning_content="look it up", tool_calls=[weather]), result("21")], tools),
        ("tool_result_object", [user("W?"), bot("", tool_calls=[weather]), result({"temp": 21.5, "sky": None})], tools),
        ("tool_result_parts", [user("W?"), bot("", tool_calls=[weather]), result([{"type": "text", "text": "21"}])], tools),
        ("parts", [user(parts)], go),
        ("parts_all", [{"role": "system", "content": parts[:1]}, user(parts), bot(parts[1:]), user(parts)], go),
        ("image", [user(image)], go),
        ("reasoning", [user("a"), bot("Fine.", reasoning_content="\nweigh it\n"), user("b")], go),
        ("reasoning_last", [user("a"), bot("Fine.", reasoning_content="weigh it")], {}),
        ("think", [user("a"), bot(think), user("b")], go),
        ("think_last", [user("a"), bot(think)], {}),
        ("documents", [user("When does the sea rise?")], {**go, "documents": DOCUMENTS}),
        ("thinking_off", [user("a")], {**go, "enable_thinking": False, "thinking": False}),
        ("thinking_on", [user("a")], {**go, "enable_thinking": True, "thinking": True}),
        ("date", [user("a")], {**go, "date_string": "29 Feb 2024"}),
        ("effort", [sys, user("a")], {**tools, "reasoning_effort": "high", "builtin_tools": ["browser", "python"]}),
        ("json_schema", [user("a")], {**go, "response_format": {"type": "json_object"}, "tool_choice": "required"}),
        ("named", [{"role": "user", "name": "ann", "content": "a"}], go),
    ]
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "now": NOW}
    return [(name, {"messages": messages, **options, **tokens}) for name, messages, options in items]

"""What every HTML report must be: well-formed, self-contained, with the one script that its policy allows."""
import base64
import hashlib
import re
from html.parser import HTMLParser

VOID = {"meta", "input", "br", "hr"}
ELEMENTS = {"html", "head", "title", "style", "body", "script", "div", "h1", "h2", "small", "p", "span", "code", "dl",
            "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre", "b", "i", "ul", "li",
            "label", "output", "footer"} | VOID
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "id", "style", "title", "role", "aria-label",
              "colspan", "type", "autocomplete"}


class Page(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.problems, self.scripts, self.policy, self.texts = [], [], [], "", []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in ELEMENTS:
            self.problems.append(f"element {tag}")
        self.problems += [f"attribute {name} of {tag}" for name in attributes if name not in ATTRIBUTES]
        if "url(" in (attributes.get("style") or ""):
            self.problems.append("style with a URL")
        if attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = attributes["content"]
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> at {self.getpos()} closes something else")

    def handle_data(self, data):
        if "script" in self.open:
            self.scripts[-1] += data
        elif "style" in self.open:
            if re.search(r"url\(|@import", data):
                self.problems.append("the style sheet loads something")
        else:
            self.texts.append((tuple(self.open), data))


def parse(page):
    parser = Page()
    parser.feed(page)
    parser.close()
    return parser


def problems(page):
    """Sentences; [] when the page is as it must be."""
    parser = parse(page)
    found = parser.problems + [f"<{tag}> is not closed" for tag in parser.open]
    hashes = re.findall(r"script-src 'sha256-([^']+)'", parser.policy)
    actual = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in parser.scripts]
    if "default-src 'none'" not in parser.policy or hashes != actual or len(actual) != 1:
        found.append(f"policy {parser.policy!r}, scripts with {actual}")
    return found


def text_of(page, tag):
    """All text inside the elements `tag`."""
    return "".join(text for path, text in parse(page).texts if tag in path)

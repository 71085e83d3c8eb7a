#include "analyze/render/html_page.h"

#include <fmt/format.h>

namespace kdk::html {
namespace {

// Colours are named once per scheme. The eight --m colours tell memory classes apart, also for the
// colour-blind (they differ in lightness, and the legend repeats them in order).
constexpr std::string_view style = R"css(
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#5b6470;--line:#d8dee4;--box:#f6f8fa;--bad:#b3261e;
--bad-bg:#fdecea;--warn:#8a5a00;--ok:#1a7f37;--link:#0550ae;--m1:#0b3c8c;--m2:#2f7fd6;--m3:#8fc1f5;--m4:#8a3ffc;
--m5:#d4a017;--m6:#a3480f;--m7:#6f7782;--m8:#d8dee4}
@media(prefers-color-scheme:dark){:root{--bg:#0f1318;--fg:#dfe5eb;--dim:#98a3af;--line:#2d353e;--box:#171d24;
--bad:#ff8a80;--bad-bg:#3a1a1a;--warn:#f2c14e;--ok:#6fdd8b;--link:#79b8ff;--m1:#5b8def;--m2:#3aa0ff;--m3:#b5d9ff;
--m4:#c49bff;--m5:#f2c14e;--m6:#e0803d;--m7:#8b949e;--m8:#3a434d}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem;max-width:76rem;background:var(--bg);color:var(--fg);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.25rem;margin:0 0 .5rem;overflow-wrap:anywhere}
h2{font-size:1rem;margin:2rem 0 .5rem;padding-bottom:.25rem;border-bottom:1px solid var(--line)}
h2 small,summary small,.dim{color:var(--dim);font-weight:normal;font-size:.85em}
code,pre,.mono,td.n,th.n{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:13px}
.answer{border-left:5px solid var(--bad);background:var(--bad-bg);padding:1rem 1.25rem;border-radius:4px}
.answer p{margin:.35rem 0;overflow-wrap:anywhere}
.badge{display:inline-block;border:1px solid var(--bad);color:var(--bad);border-radius:1em;padding:0 .7em;
font-size:.85em}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:1rem 0}
dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.2rem .75rem .2rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--dim);font-weight:normal;font-size:.85em}
td.n,th.n{text-align:right;white-space:nowrap}
.trace td{border:0;padding:.05rem .75rem .05rem 0}
.trace tr.inlined td{color:var(--dim)}
.trace tr.culprit td{background:var(--bad-bg);font-weight:600}
.trace tr.mark td{color:var(--warn);padding:.3rem 0}
details{border:1px solid var(--line);border-radius:4px;margin:.5rem 0;background:var(--box)}
summary{cursor:pointer;padding:.4rem .75rem;overflow-wrap:anywhere}
details>*:not(summary){margin:.25rem .75rem .75rem}
pre{overflow-x:auto;background:var(--box);border:1px solid var(--line);border-radius:4px;padding:.75rem;margin:.5rem 0;
max-height:40rem;tab-size:8}
pre b{font-weight:inherit;display:block;unicode-bidi:isolate}
.l0,.l1,.l2,.l3{color:var(--bad)}.l4{color:var(--warn)}.l7{color:var(--dim)}
.gap{color:var(--dim)}
.bar{display:flex;height:2rem;border-radius:4px;overflow:hidden;border:1px solid var(--line)}
.bar i{display:block;min-width:1px}
.key{display:inline-block;width:.9em;height:.9em;border-radius:2px;margin-right:.5em;vertical-align:-.1em}
.m1{background:var(--m1)}.m2{background:var(--m2)}.m3{background:var(--m3)}.m4{background:var(--m4)}
.m5{background:var(--m5)}.m6{background:var(--m6)}.m7{background:var(--m7)}.m8{background:var(--m8)}
.lane{display:grid;grid-template-columns:11rem 1fr;align-items:center}
.lane>span{white-space:nowrap;overflow:hidden;text-overflow:ellipsis;color:var(--dim);font-size:.85em}
.track{position:relative;height:1.4rem;border-bottom:1px solid var(--line)}
.track i{position:absolute;top:.3rem;width:3px;height:.8rem;margin-left:-1px;background:currentColor;opacity:.75}
.axis{display:flex;justify-content:space-between;margin-left:11rem;color:var(--dim);font-size:.85em}
#search{display:none}
.scripted #search{display:flex;gap:.75rem;align-items:center}
#search input{font:inherit;padding:.25rem .5rem;width:min(24rem,60vw);color:inherit;background:var(--bg);
border:1px solid var(--line);border-radius:4px}
.scripted pre.filtered b:not(.hit){display:none}
.damage{color:var(--bad)}
footer{margin-top:2rem;color:var(--dim);font-size:.85em}
@media print{body{max-width:none}pre{max-height:none}.bar,.key,.track i{print-color-adjust:exact;
-webkit-print-color-adjust:exact}}
@media(max-width:40rem){body{padding:.75rem}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5rem}
.lane{grid-template-columns:6rem 1fr}.axis{margin-left:6rem}}
)css";

// Shows the lines of the log that hold what was typed, whatever its case.
constexpr std::string_view search_script =
    R"js(document.documentElement.classList.add("scripted");)js"
    R"js(var f=document.querySelector("#search input"),p=document.querySelector("#log");)js"
    R"js(if(f&&p)f.addEventListener("input",function(){var q=f.value.toLowerCase(),n=0;)js"
    R"js(p.querySelectorAll("b").forEach(function(b){)js"
    R"js(var h=q!==""&&b.textContent.toLowerCase().includes(q);b.classList.toggle("hit",h);if(h)n++;});)js"
    R"js(p.classList.toggle("filtered",q!=="");)js"
    R"js(document.querySelector("#search output").textContent=q===""?"":n+(n===1?" line":" lines");});)js";

// U+061C, U+200E/F, U+202A-E, U+2066-9: their UTF-8 forms.
size_t directional_control(std::string_view text) {
  auto at = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  if (at(0) == 0xd8 && at(1) == 0x9c) return 2;
  if (at(0) != 0xe2) return 0;
  bool marks = at(1) == 0x80 && (at(2) == 0x8e || at(2) == 0x8f || (at(2) >= 0xaa && at(2) <= 0xae));
  bool isolates = at(1) == 0x81 && at(2) >= 0xa6 && at(2) <= 0xa9;
  return marks || isolates ? 3 : 0;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    if (size_t length = directional_control(text)) {
      out += "\xef\xbf\xbd";  // U+FFFD
      text.remove_prefix(length);
      continue;
    }
    switch (text.front()) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += text.front();
    }
    text.remove_prefix(1);
  }
  return out;
}

std::string_view script() {
  return search_script;
}

std::string_view script_hash() {
  return "n7085XQHeNGZS/Xn0mhAp8XY/KKnlG8zxnrZuX6sw0I=";
}

std::string page(std::string_view title, std::string_view body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "script-src 'sha256-{}'\">\n"
      "<meta name=\"viewport\" "
      "content=\"width=device-width\">\n<title>{}</title>\n<style>{}</style>\n</head>\n"
      "<body>\n{}<script>{}</script>\n</body>\n</html>\n",
      script_hash(), escape(title), style, body, script());
}

}  // namespace kdk::html

// What every HTML page of ours is made of: escaping, the style sheet, the shell around the content.
#pragma once

#include <string>
#include <string_view>

namespace kdk::html {

// Text for element content and for attribute values in double quotes. Directional control characters are
// made visible: text out of a dump must not reorder the page around it.
std::string escape(std::string_view text);

// A whole document: one file, nothing loaded from elsewhere, readable without scripts. `title` is text,
// `body` is HTML.
std::string page(std::string_view title, std::string_view body);

// The one script (search in the log), and the hash of it that the page's Content-Security-Policy allows: a
// script that came out of a dump does not run even if it should slip through the escaping.
std::string_view script();
std::string_view script_hash();

}  // namespace kdk::html

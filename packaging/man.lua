-- Makes a manual page of a program's page in docs/, for pandoc: "# NAME" and the first sentence become the NAME section,
-- the first code block the SYNOPSIS, headings move up one level. Links keep their text, for a terminal cannot follow them.

local function split(blocks)
  local title, intro, synopsis, rest = nil, nil, nil, {}
  for _, block in ipairs(blocks) do
    if not title and block.t == "Header" and block.level == 1 then
      title = pandoc.utils.stringify(block)
    elseif not intro and block.t == "Para" then
      intro = block
    elseif not synopsis and block.t == "CodeBlock" then
      synopsis = block
    else
      table.insert(rest, block)
    end
  end
  assert(title and intro and synopsis, "this is no page of a program: title, sentence or synopsis is missing")
  return title, intro, synopsis, rest
end

-- "Arms the crash kernel: puts ..." -> "arms the crash kernel"
local function purpose(intro)
  local text = pandoc.utils.stringify(intro):match("^[^:.]+")
  return text:sub(1, 1):lower() .. text:sub(2)
end

function Link(link)
  return link.content
end

-- A table is a list of terms: a terminal has no room for long cells beside each other, and groff cannot break one over
-- pages, so that one line more somewhere above would break it. With more than two columns each cell says which it is.
function Table(tbl)
  local simple = pandoc.utils.to_simple_table(tbl)
  local items = {}
  for _, row in ipairs(simple.rows) do
    local cells = {}
    for column = 2, #row do
      local cell = pandoc.utils.blocks_to_inlines(row[column])
      local header = pandoc.utils.stringify(simple.headers[column] or {})
      if #cell > 0 and #row > 2 and header ~= "" then
        cell = pandoc.Inlines(header .. ": ") .. cell
      end
      if #cell > 0 then
        table.insert(cells, pandoc.Para(cell))
      end
    end
    table.insert(items, { pandoc.utils.blocks_to_inlines(row[1]), { cells } })
  end
  return pandoc.DefinitionList(items)
end

function Header(header)
  header.content = pandoc.Inlines(pandoc.utils.stringify(header))
  return header
end

function Pandoc(document)
  local title, intro, synopsis, rest = split(document.blocks)
  local blocks = {
    pandoc.Header(1, "NAME"), pandoc.Para(title .. " - " .. purpose(intro)),
    pandoc.Header(1, "SYNOPSIS"), synopsis,
    pandoc.Header(1, "DESCRIPTION"), intro,
  }
  for _, block in ipairs(rest) do
    if block.t == "Header" then
      block.level = block.level - 1
      if block.level == 1 then
        block.content = pandoc.Inlines(pandoc.utils.stringify(block):upper())
      end
    end
    table.insert(blocks, block)
  end
  document.meta.title = title:upper()
  return pandoc.Pandoc(blocks, document.meta)
end

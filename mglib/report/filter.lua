-- What Quarto does to a document and pandoc does not: cross-references, subfigures and callouts.
local html = FORMAT:match('html') ~= nil
local NAMES = {fig = 'Figure', tbl = 'Table', eq = 'Equation', sec = 'Section'}
local CALLOUTS = {note = 'Note', tip = 'Tip', warning = 'Warning', important = 'Important', caution = 'Caution'}
local constructs = dofile(pandoc.path.join{pandoc.path.directory(PANDOC_SCRIPT_FILE), 'constructs.lua'})
local problem, check = constructs.problem, constructs.check
local numbers, seen, counts, sections, numbered = {}, {}, {fig = 0, tbl = 0, eq = 0}, {}, false

local function raw(text) return pandoc.RawBlock(html and 'html' or 'typst', text) end
local function rawinline(text) return pandoc.RawInline(html and 'html' or 'typst', text) end
local function between(open, blocks, close)
  return pandoc.Blocks{raw(open)} .. pandoc.Blocks(blocks) .. {raw(close)}
end

local function enter(id, number)
  if seen[id] and id ~= '' then problem('#' .. id, 'the id #' .. id .. ' is used twice', '', {}, 2) end
  seen[id], numbers[id] = true, number
end

local function labelled(label, caption)
  return pandoc.Inlines{pandoc.Strong(label), pandoc.Space()} .. pandoc.utils.blocks_to_inlines(caption)
end

-- Numbers what has an id and returns its caption with the number before it.
local function count(kind, id, caption)
  if id == '' then return pandoc.utils.blocks_to_inlines(caption) end
  if not id:match('^' .. kind .. '%-') then problem('#' .. id, '#' .. id .. ' must begin with #' .. kind .. '-') end
  if #caption == 0 then problem('#' .. id, '#' .. id .. ' has no caption') end
  counts[kind] = counts[kind] + 1
  enter(id, tostring(counts[kind]))
  return labelled(NAMES[kind] .. '\u{a0}' .. counts[kind] .. ':', caption)
end

local function float(kind, id, body, caption)
  local cap = {pandoc.Plain(caption)}
  if html then
    cap = between('<figcaption>', cap, '</figcaption>')
    local open = '<figure class="' .. kind .. '"' .. (id ~= '' and ' id="' .. id .. '">' or '>')
    return between(open, kind == 'tbl' and cap .. body or body .. cap, '</figure>')
  end
  local open = '#figure(kind: ' .. (kind == 'tbl' and 'table' or 'image') .. ', supplement: none, caption: ['
  return between(open, cap, '], [') .. body .. {raw(id ~= '' and ']) <' .. id .. '>' or '])')}
end

local function panel(el)
  check(el, 'a figure panel', '', 'layout-ncol')
  local columns, id, last = tonumber(el.attributes['layout-ncol']), el.identifier, el.content:remove()
  if not columns or not last or last.t ~= 'Para' then
    problem('#' .. id, '#' .. id .. ' needs layout-ncol=N and a last paragraph as its caption')
    return {}
  end
  local caption, cells = count('fig', id, {last}), pandoc.Blocks{}
  for i, part in ipairs(el.content) do
    if part.t ~= 'Figure' then problem('#' .. id, '#' .. id .. ' may hold only captioned figures') return {} end
    local letter = '(' .. string.char(96 + i) .. ')'
    enter(part.identifier, numbers[id] .. '\u{a0}' .. letter)
    local cell = float('fig', part.identifier, part.content, labelled(letter, part.caption.long))
    cells = cells .. (html and cell or between('[', cell, '],'))
  end
  local open = html and '<div class="panel" style="--columns: ' .. columns .. '">'
    or '#grid(columns: (1fr,) * ' .. columns .. ', gutter: 1.2em,'
  return float('fig', id, between(open, cells, html and '</div>' or ')'), caption)
end

local function callout(el, kind)
  check(el, 'a callout', 'callout-' .. kind, 'title')
  local title = pandoc.Inlines(el.attributes.title or CALLOUTS[kind])
  if el.content[1] and el.content[1].t == 'Header' then title = el.content:remove(1).content end
  local open = html and '<aside class="callout ' .. kind .. '"><p class="callout-title">' or '#callout("' .. kind .. '")['
  return between(open, {pandoc.Plain(title)}, html and '</p>' or '][') .. el.content
    .. {raw(html and '</aside>' or ']')}
end

local dress = {  -- in reading order: what has an id gets its number
  traverse = 'topdown',
  Header = function(el)
    local number
    if numbered and not el.classes:includes('unnumbered') then
      for level = #sections, el.level + 1, -1 do sections[level] = nil end
      for level = 1, el.level do sections[level] = sections[level] or 0 end
      sections[el.level] = sections[el.level] + 1
      number = table.concat(sections, '.')
      el.content:insert(1, pandoc.Span(number .. '\u{2002}', {class = 'number'}))
    end
    enter(el.identifier, number)
    el.level = html and el.level + 1 or el.level
    return el
  end,
  Figure = function(el)
    return float('fig', el.identifier, el.content, count('fig', el.identifier, el.caption.long)), false
  end,
  Table = function(el)
    local id, caption = el.identifier, count('tbl', el.identifier, el.caption.long)
    el.caption, el.identifier = pandoc.Caption(), ''
    el.colspecs = el.colspecs:map(function(spec) return {spec[1], nil} end)
    local rows = #el.bodies[1].body
    local body = html and between('<div class="scroll" role="group" tabindex="0">', {el}, '</div>')
      or pandoc.Blocks{el}
    if #caption > 0 then body = float('tbl', id, body, caption) end
    if rows > 30 and not html then body = between('#[#show figure: set block(breakable: true)', body, ']') end
    return body, false
  end,
  Div = function(el)
    local kind = (el.classes[1] or ''):match('^callout%-(%a+)$')
    if el.identifier == 'refs' then return nil end
    if CALLOUTS[kind] then return callout(el, kind) end
    if el.identifier:match('^fig%-') then return panel(el), false end
    local name = el.classes[1] and '.' .. el.classes[1] or '#' .. el.identifier
    problem(name, 'a ::: {' .. name .. '} block is not supported')
  end,
  Span = function(el)  -- source.py puts an equation with an id into a span
    if not el.identifier:match('^eq%-') then return nil end
    count('eq', el.identifier, {pandoc.Plain(el.content)})
    local n = '(' .. counts.eq .. ')'
    local open = html and '<span class="equation" id="' .. el.identifier .. '">'
      or '#[#set math.equation(numbering: _ => [' .. n .. '])\n'
    local close = html and '<span class="number">' .. n .. '</span></span>' or ' <' .. el.identifier .. '>]'
    return pandoc.Inlines{rawinline(open)} .. el.content .. {rawinline(close)}
  end,
}

local function refer(citation)
  local id, number = citation.id, numbers[citation.id]
  local kind, known = id:match('^%a+'), {}
  for name in pairs(numbers) do if name:find(kind .. '-', 1, true) == 1 then known[#known + 1] = name end end
  if seen[id] and not number then problem('@' .. id, '#' .. id .. ' has no number to refer to')
  elseif not number then problem('@' .. id, id, 'cross-reference', known) end
  if #citation.suffix > 0 then problem('@' .. id, 'text after @' .. id .. ' in brackets is not supported') end
  local text = pandoc.Inlines(number or '?')
  if #citation.prefix > 0 then text = citation.prefix .. {pandoc.Str('\u{a0}')} .. text
  elseif citation.mode ~= 'SuppressAuthor' then text = pandoc.Inlines(NAMES[kind] .. '\u{a0}') .. text end
  return pandoc.Link(text, '#' .. id, '', {class = 'ref'})
end

local resolve = {  -- now that every id is known
  Cite = function(el)
    local out = pandoc.Inlines{}
    for _, citation in ipairs(el.citations) do
      if NAMES[citation.id:match('^(%a+)%-')] then
        if #out > 0 then out:extend{pandoc.Str(','), pandoc.Space()} end
        out:insert(refer(citation))
      end
    end
    if #out > 0 and #out < 3 * #el.citations - 2 then
      problem('@' .. el.citations[1].id, 'citations and cross-references in one bracket are not supported')
    end
    if #out > 0 then return out end
  end,
  Link = function(el)
    local id, known = el.target:match('^#(.*)$'), {}
    for name in pairs(seen) do known[#known + 1] = name end
    if id and not seen[id] then problem('#' .. id, id, 'link target', known) end
  end,
  Image = function(el)
    if html then return nil end
    local text = '#box(image("' .. el.src .. '", alt: ' .. ('%q'):format(pandoc.utils.stringify(el.caption))
    for side, length in pairs(el.attributes) do text = text .. ', ' .. side .. ': ' .. length end
    return rawinline(text .. '))')
  end,
}

function Pandoc(doc)
  numbered = doc.meta['number-sections']
  local about = pandoc.utils.stringify(doc.meta.description or doc.meta.abstract or '')
  if about ~= '' then doc.meta['description-meta'] = pandoc.Inlines(about) end
  doc = constructs.screened(doc):walk(dress):walk(resolve)
  if doc.meta.bibliography and #doc.meta.bibliography > 0
    and not doc.blocks:find_if(function(block) return block.identifier == 'refs' end) then
    doc.blocks:insert(pandoc.Header(html and 2 or 1, 'References', {id = 'references', class = 'unnumbered'}))
    doc.blocks:insert(pandoc.Div({}, {id = 'refs'}))
  end
  if #constructs.problems > 0 then
    io.stderr:write(table.concat(constructs.problems))
    os.exit(3)
  end
  return doc
end

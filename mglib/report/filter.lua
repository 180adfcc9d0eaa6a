-- What Quarto does to a document and pandoc does not: cross-references, subfigures and callouts.
local html = FORMAT:match('html') ~= nil
local NAMES = {fig = 'Figure', tbl = 'Table', eq = 'Equation', sec = 'Section'}
local CALLOUTS = {note = 'Note', tip = 'Tip', warning = 'Warning', important = 'Important', caution = 'Caution'}
local FOREIGN = 'lst thm lem cor prp cnj def exm exr sol rem alg nte tip wrn imp cau vid'
local constructs = dofile(pandoc.path.join{pandoc.path.directory(PANDOC_SCRIPT_FILE), 'constructs.lua'})
local problem, check, has = constructs.problem, constructs.check, constructs.has
local numbers, seen, counts = {}, {}, {fig = 0, tbl = 0, eq = 0}
local numbered, depth, sections, keys = false, 0, {}, {}

local function raw(text) return pandoc.RawBlock(html and 'html' or 'typst', text) end
local function rawinline(text) return pandoc.RawInline(html and 'html' or 'typst', text) end

local function enter(id, number)
  if id == '' then return end
  if seen[id] then problem('#' .. id, 'the id #' .. id .. ' is used twice', '', {}, 2) end
  seen[id], numbers[id] = true, number
end

local function labelled(label, caption)
  return pandoc.Inlines{pandoc.Strong(label), pandoc.Space()} .. pandoc.utils.blocks_to_inlines(caption)
end

local function count(kind, id, caption)
  if id == '' then return pandoc.utils.blocks_to_inlines(caption) end
  if not id:match('^' .. kind .. '%-') then problem('#' .. id, '#' .. id .. ' must begin with #' .. kind .. '-') end
  counts[kind] = counts[kind] + 1
  enter(id, tostring(counts[kind]))
  if #caption == 0 then problem('#' .. id, '#' .. id .. ' has no caption') end
  return labelled(NAMES[kind] .. '\u{a0}' .. counts[kind] .. ':', caption)
end

local function float(kind, id, body, caption)
  local cap = pandoc.Plain(caption)
  if html then
    local open = raw('<figure class="' .. kind .. '"' .. (id ~= '' and ' id="' .. id .. '">' or '>'))
    local text = pandoc.Blocks{raw('<figcaption>'), cap, raw('</figcaption>')}
    return pandoc.Blocks{open} .. (kind == 'tbl' and text .. body or body .. text) .. {raw('</figure>')}
  end
  local open = '#figure(kind: ' .. (kind == 'tbl' and 'table' or 'image') .. ', supplement: none, caption: ['
  return pandoc.Blocks{raw(open), cap, raw('], [')} .. body .. {raw(id ~= '' and ']) <' .. id .. '>' or '])')}
end

local function panel(el)
  check(el, 'a figure panel', '', 'layout-ncol')
  local columns, id = tonumber(el.attributes['layout-ncol']), el.identifier
  local last = el.content:remove()
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
    cells = cells .. (html and cell or pandoc.Blocks{raw('[')} .. cell .. {raw('],')})
  end
  local open = html and '<div class="panel" style="--columns: ' .. columns .. '">'
    or '#grid(columns: (1fr,) * ' .. columns .. ', gutter: 1.2em,'
  return float('fig', id, pandoc.Blocks{raw(open)} .. cells .. {raw(html and '</div>' or ')')}, caption)
end

local function callout(el, kind)
  check(el, 'a callout', 'callout-' .. kind, 'title')
  local title = pandoc.Inlines(el.attributes.title or CALLOUTS[kind])
  if el.content[1] and el.content[1].t == 'Header' then title = el.content:remove(1).content end
  local open = html and '<aside class="callout ' .. kind .. '"><p class="callout-title">' or '#callout("' .. kind .. '")['
  return pandoc.Blocks{raw(open), pandoc.Plain(title), raw(html and '</p>' or '][')} .. el.content
    .. {raw(html and '</aside>' or ']')}
end

local dress = {  -- second walk, in reading order: what has an id gets its number
  traverse = 'topdown',
  Header = function(el)
    check(el, 'a heading', 'unnumbered unlisted', '')
    local text, number = pandoc.utils.stringify(el), nil
    if el.level > depth + 1 then problem(text, "the heading '" .. text .. "' skips a level (the first is #)") end
    depth = el.level
    if numbered and not el.classes:includes('unnumbered') then
      for level = #sections, el.level + 1, -1 do sections[level] = nil end
      for level = 1, el.level do sections[level] = (sections[level] or 0) + (level == el.level and 1 or 0) end
      number = table.concat(sections, '.')
      el.content:insert(1, pandoc.Span(number .. '\u{2002}', {class = 'number'}))
    end
    enter(el.identifier, number)
    el.level = html and el.level + 1 or el.level
    return el
  end,
  Figure = function(el) return float('fig', el.identifier, el.content, count('fig', el.identifier, el.caption.long)), false end,
  Table = function(el)
    local id, caption = el.identifier, count('tbl', el.identifier, el.caption.long)
    el.caption, el.identifier = pandoc.Caption(), ''
    el.colspecs = el.colspecs:map(function(spec) return {spec[1], nil} end)
    local body = html and pandoc.Blocks{raw('<div class="scroll" role="group" tabindex="0">'), el, raw('</div>')} or pandoc.Blocks{el}
    return #caption == 0 and body or float('tbl', id, body, caption), false
  end,
  Div = function(el)
    local kind = (el.classes[1] or ''):match('^callout%-(%a+)$')
    if el.identifier == 'refs' then return nil end
    if CALLOUTS[kind] then return callout(el, kind) end
    if el.identifier:match('^fig%-') then return panel(el), false end
    local name = el.classes[1] and '.' .. el.classes[1] or '#' .. el.identifier
    problem(name, 'a ::: {' .. name .. '} block is not supported')
  end,
  Inlines = function(list)
    local out, i = pandoc.Inlines{}, 1
    while list[i] do
      local el, at = list[i], list[i + 1] and list[i + 1].t == 'Space' and i + 2 or i + 1
      out:insert(el)
      if el.t == 'Math' and el.mathtype == 'DisplayMath' then
        local id, rest = (list[at] and list[at].t == 'Str' and list[at].text or ''):match('^{#(eq%-[%w_-]+)}(.*)$')
        local open, close = '<span class="equation">', '</span>'
        if id then
          counts.eq, i = counts.eq + 1, at
          enter(id, tostring(counts.eq))
          open, close = '<span class="equation" id="' .. id .. '">', '<span class="number">(' .. counts.eq .. ')</span></span>'
        end
        if html then
          out[#out] = rawinline(open) out:extend{el, rawinline(close)}
        elseif id then
          out[#out] = rawinline('#[#set math.equation(numbering: _ => [(' .. counts.eq .. ')])\n')
          out:extend{el, rawinline(' <' .. id .. '>]')}
        end
        if id and rest ~= '' then out:insert(pandoc.Str(rest)) end
      end
      i = i + 1
    end
    return out
  end,
}

local function ids(kind)
  local found = pandoc.List{}
  for id in pairs(numbers) do if id:match('^' .. kind .. '%-') then found:insert(id) end end
  return found
end

local function refer(citation)
  local kind, number = citation.id:match('^%a+'), numbers[citation.id]
  if not number then
    if seen[citation.id] then problem('@' .. citation.id, citation.id .. ' has no number to refer to')
    else problem('@' .. citation.id, citation.id, 'cross-reference', ids(kind)) end
  end
  if #citation.suffix > 0 then problem('@' .. citation.id, 'text after @' .. citation.id .. ' in brackets is not supported') end
  local text = pandoc.Inlines(number or '?')
  if #citation.prefix > 0 then text = citation.prefix .. {pandoc.Str('\u{a0}')} .. text
  elseif citation.mode ~= 'SuppressAuthor' then text = pandoc.Inlines(NAMES[kind] .. '\u{a0}') .. text end
  return pandoc.Link(text, '#' .. citation.id, '', {class = 'ref'})
end

local resolve = {  -- third walk: every id is known
  Image = function(el)
    if html then return nil end
    local text = '#box(image("' .. el.src .. '", alt: ' .. string.format('%q', pandoc.utils.stringify(el.caption))
    for _, side in ipairs{'width', 'height'} do
      if el.attributes[side] then text = text .. ', ' .. side .. ': ' .. el.attributes[side] end
    end
    return rawinline(text .. '))')
  end,
  Cite = function(el)
    local out = pandoc.Inlines{}
    for _, citation in ipairs(el.citations) do
      local kind = citation.id:match('^(%a+)%-') or ''
      if NAMES[kind] then
        if #out > 0 then out:extend{pandoc.Str(','), pandoc.Space()} end
        out:insert(refer(citation))
      elseif has(FOREIGN, kind) then problem('@' .. citation.id, '@' .. kind .. '- references are not supported')
      elseif not keys[citation.id] then
        local known = pandoc.List{}
        for key in pairs(keys) do known:insert(key) end
        problem('@' .. citation.id, citation.id, 'citation', known)
      end
    end
    if #out > 0 and #out < 2 * #el.citations - 1 then
      problem('@' .. el.citations[1].id, 'citations and cross-references in one bracket are not supported')
    end
    if #out > 0 then return out end
  end,
  Link = function(el)
    local id = el.target:match('^#(.*)$')
    if id and not seen[id] then problem('#' .. id, id, 'link target', pandoc.List(ids('.*'))) end
  end,
}

function Pandoc(doc)
  numbered = doc.meta['number-sections']
  for _, file in ipairs(doc.meta.bibliography or {}) do
    local path = pandoc.utils.stringify(file)
    for _, entry in ipairs(pandoc.read(io.open(path, 'r'):read('a'), 'biblatex').meta.references or {}) do
      keys[pandoc.utils.stringify(entry.id)] = true
    end
  end
  local about = pandoc.utils.stringify(doc.meta.description or doc.meta.abstract or '')
  doc.meta['description-meta'] = about ~= '' and pandoc.Inlines(about) or nil
  doc = doc:walk(constructs.screen)
  doc = doc:walk(dress)
  doc = doc:walk(resolve)
  if next(keys) and not doc.blocks:find_if(function(block) return block.identifier == 'refs' end) then
    doc.blocks:extend{pandoc.Header(html and 2 or 1, 'References', {id = 'references', class = 'unnumbered'}), pandoc.Div({}, {id = 'refs'})}
  end
  if #constructs.problems > 0 then
    io.stderr:write(table.concat(constructs.problems))
    os.exit(3)
  end
  return doc
end

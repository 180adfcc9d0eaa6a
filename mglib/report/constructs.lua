-- The constructs that Quarto and this renderer show alike; all else is reported with its place.
local html = FORMAT:match('html') ~= nil
local FOREIGN = 'lst thm lem cor prp cnj def exm exr sol rem alg nte tip wrn imp cau vid'
local problems, citable, depth, shown = {}, pandoc.List(), 0, {}

-- For source.py: what to look for in the text, which occurrence of it, and either a message or an
-- unknown name with its kind and the names that exist.
local function problem(needle, text, kind, known, nth)
  local fields = {'PROBLEM', needle, nth or 1, kind or '', text, table.concat(known or {}, ' ')}
  problems[#problems + 1] = table.concat(fields, '\t'):gsub('\n', ' ') .. '\n'
end

local function has(list, item) return (' ' .. list .. ' '):find(' ' .. item .. ' ', 1, true) end

local function check(el, what, classes, attributes)
  for _, class in ipairs(el.classes) do
    if not has(classes, class) then
      problem('.' .. class, what .. ' of class .' .. class .. ' is not supported')
    end
  end
  for key in pairs(el.attributes) do
    if not has(attributes, key) then
      problem(key .. '=', what .. ' with ' .. key .. '= is not supported')
    end
  end
end

local function conditional(el)
  local show = el.classes:includes('content-visible')
  if not show and not el.classes:includes('content-hidden') then return nil end
  check(el, 'conditional content', 'content-visible content-hidden', 'when-format unless-format')
  local unless = el.attributes['unless-format']
  local format = unless or el.attributes['when-format'] or ''
  if format ~= 'html' and format ~= 'typst' then
    problem('.content-', 'conditional content needs when-format or unless-format, html or typst')
  end
  local here = (format == 'html') == html
  if unless then here = not here end
  return here == show and el.content or {}
end

local function foreign(el)
  if el.format == 'html' and el.text:match('^<!%-%-.*%-%->%s*$') then return {} end
  problem(el.text:match('[^\n]+'), 'raw ' .. el.format .. ' is not supported: ' .. el.text:sub(1, 40))
end

local screen = {
  traverse = 'topdown', Div = conditional, RawBlock = foreign, RawInline = foreign,
  Span = function(el)
    local kept = conditional(el)
    if not kept then check(el, 'a span', '', 'lang') end
    return kept
  end,
  Header = function(el)
    check(el, 'a heading', 'unnumbered unlisted', '')
    local text = pandoc.utils.stringify(el)
    if el.level > depth + 1 then
      problem(text, "the heading '" .. text .. "' skips a level (the first is #)")
    end
    depth = el.level
  end,
  Code = function(el) check(el, 'code', el.classes[1] or '', '') end,
  CodeBlock = function(el) check(el, 'a code block', el.classes[1] or '', '') end,
  Link = function(el) check(el, 'a link', 'uri email', '') end,
  Table = function(el) check(el, 'a table', '', '') end,
  Image = function(el)
    check(el, 'an image', '', 'fig-alt width height')
    local file, alt = not el.src:find('://') and io.open(el.src, 'rb'), el.attributes['fig-alt'] or ''
    local nth = (shown[el.src] or 0) + 1
    shown[el.src] = nth
    if file then file:close() else problem(el.src, el.src, 'figure file', nil, nth) end
    if not alt:find('%S') then
      problem(el.src, 'the figure ' .. el.src .. ' has no fig-alt text', nil, nil, nth)
    end
    if el.identifier ~= '' then problem('#' .. el.identifier, '#' .. el.identifier .. ' has no caption') end
    for _, side in ipairs{'width', 'height'} do
      local unit = (el.attributes[side] or '1em'):match('^[%d.]+(%D+)$')
      if not unit or not has('% cm mm in em', unit) then
        problem(side .. '=', side .. '=' .. el.attributes[side] .. ' is not in %, cm, mm, in or em')
      end
    end
    el.caption, el.attributes['fig-alt'] = {pandoc.Str(alt)}, nil
    return el
  end,
  Cite = function(el)
    for _, citation in ipairs(el.citations) do
      local id, kind = citation.id, citation.id:match('^(%a+)%-') or ''
      if has(FOREIGN, kind) then
        problem('@' .. id, '@' .. kind .. '- references are not supported')
      elseif not has('fig tbl eq sec', kind) and not citable:includes(id) then
        problem('@' .. id, id, 'citation', citable)
      end
    end
  end,
  Str = function(el)
    local note = el.text:match('%[%^[%w_-]+%]')
    if note then problem(note, 'the footnote ' .. note .. ' does not exist') end
    if el.text:match('^{[#.]') then
      problem(el.text, 'attributes that belong to nothing: ' .. el.text)
    end
  end,
}

-- The document without what is hidden in this format; `citable` becomes the keys of its bibliography.
local function screened(doc)
  for _, file in ipairs(doc.meta.bibliography or {}) do
    local text = io.open(pandoc.utils.stringify(file), 'r'):read('a')
    for _, entry in ipairs(pandoc.read(text, 'biblatex').meta.references or {}) do
      citable:insert(pandoc.utils.stringify(entry.id))
    end
  end
  return doc:walk(screen)
end

return {problems = problems, problem = problem, check = check, screened = screened}

-- The constructs that Quarto and this renderer show alike; all else is reported with its place.
local html = FORMAT:match('html') ~= nil
local problems = {}

-- For render.py: what to look for in the source, which occurrence of it, and either a message or
-- an unknown name with its kind and the names that exist.
local function problem(needle, text, kind, known, nth)
  local fields = {'PROBLEM', needle, nth or 1, kind or '', text, table.concat(known or {}, ' ')}
  problems[#problems + 1] = table.concat(fields, '\t'):gsub('\n', ' ') .. '\n'
end

local function has(list, item) return (' ' .. list .. ' '):find(' ' .. item .. ' ', 1, true) end

local function check(el, what, classes, attributes)
  for _, class in ipairs(el.classes) do
    if not has(classes, class) then problem('.' .. class, what .. ' of class .' .. class .. ' is not supported') end
  end
  for key in pairs(el.attributes) do
    if not has(attributes, key) then problem(key .. '=', what .. ' with ' .. key .. '= is not supported') end
  end
end

local function conditional(el)
  local show = el.classes:includes('content-visible')
  if not show and not el.classes:includes('content-hidden') then return nil end
  check(el, 'conditional content', 'content-visible content-hidden', 'when-format unless-format')
  local unless = el.attributes['unless-format']
  local format = unless or el.attributes['when-format'] or ''
  if format ~= 'html' and format ~= 'typst' then
    problem('.content-', "content-visible needs when-format or unless-format with html or typst, not '" .. format .. "'")
  end
  return (((format == 'html') == html) ~= (unless ~= nil)) == show and el.content or {}
end

local function foreign(el)
  if el.format == 'html' and el.text:match('^<!%-%-.*%-%->%s*$') then return {} end
  problem(el.text:match('[^\n]+'), 'raw ' .. el.format .. ' is not supported: ' .. el.text:sub(1, 40))
end

local screen = {  -- first walk: afterwards nothing hidden and nothing foreign is left
  traverse = 'topdown', Div = conditional, RawBlock = foreign, RawInline = foreign,
  Span = function(el)
    local kept = conditional(el)
    if not kept then check(el, 'a span', '', 'lang') end
    return kept
  end,
  Code = function(el) check(el, 'code', el.classes[1] or '', '') end,
  CodeBlock = function(el) check(el, 'a code block', el.classes[1] or '', '') end,
  Link = function(el) check(el, 'a link', 'uri email', '') end,
  Table = function(el) check(el, 'a table', '', '') end,
  Image = function(el)
    check(el, 'an image', '', 'fig-alt width height')
    local file, alt = not el.src:find('://') and io.open(el.src, 'rb'), el.attributes['fig-alt'] or ''
    if file then file:close() else problem(el.src, el.src, 'figure file') end
    if not alt:find('%S') then problem(el.src, 'the figure ' .. el.src .. ' has no fig-alt text') end
    el.caption, el.attributes['fig-alt'] = {pandoc.Str(alt)}, nil
    return el
  end,
  Str = function(el)
    if el.text:match('^:::') then problem(el.text, 'a ::: that opens or closes nothing') end
    if el.text:match('^{[#.]') and not el.text:match('^{#eq%-[%w_-]+}') then
      problem(el.text, 'attributes that belong to nothing: ' .. el.text)
    end
  end,
}

return {problems = problems, problem = problem, check = check, has = has, screen = screen}

-- The browsers of the soak, played by wrk: each of its threads has one connection and begins one login after another, a
-- fresh browser every time, by a case picked at random from `cases`. Every answer is held against what the case demands.
-- A new case that the provider plays is one row here and one in provider.mjs.

local format = string.format

-- --- one browser

local Browser = {}
Browser.__index = Browser

-- Kinds of providers: each has a block and a path in nginx.conf.in, and a row in provider.mjs. All cases are played at
-- all of them; where browsers come back in another way (form_post), Browser:call_back and must_return are the places.
local sites = {
  { name = 'plain', weight = 7 },
  { name = 'tls', weight = 1 },
}

local function open_browser(site, user)
  return setmetatable({ site = site.name, page = '/' .. site.name .. '/page?of=' .. user,
    callback_path = '/' .. site.name .. '/callback', user = user, jar = {} }, Browser)
end

local function cookie_header(jar)
  local pairs_of_jar = {}
  for name, value in pairs(jar) do
    pairs_of_jar[#pairs_of_jar + 1] = name .. '=' .. value
  end
  return #pairs_of_jar > 0 and table.concat(pairs_of_jar, '; ') or nil
end

local function copy(jar)
  local same = {}
  for name, value in pairs(jar) do
    same[name] = value
  end
  return same
end

local function keep_cookie(jar, line)
  local name, value = (line or ''):match('^([^=]+)=([^;]*)')
  if name then
    jar[name] = not line:find('Max%-Age=0') and value or nil
  end
end

-- Hands a request to wrk, and comes back with its answer, or nil where the connection ended without one.
function Browser:send(method, target, body)
  local headers = { Cookie = cookie_header(self.jar) }
  if body then
    headers['Content-Type'] = 'application/x-www-form-urlencoded'
  end
  local answer = coroutine.yield(wrk.format(method, target, headers, body))
  if not answer then
    error({ lost = true })
  end
  keep_cookie(self.jar, answer.headers['X-Cookie'])
  keep_cookie(self.jar, answer.headers['Set-Cookie'])
  self.request = method .. ' ' .. target:sub(1, 40)
  return answer
end

function Browser:get(target)
  return self:send('GET', target)
end

function Browser:has_session()
  return self.jar.NGX_OIDC_SESSION ~= nil
end

-- --- what is demanded of answers

local function differs(browser, wanted, answer)
  error({ text = format('%s: wanted %s, got %d %s %s', browser.request, wanted, answer.status,
    answer.headers['X-Error'] or '', answer.headers.Location or '') })
end

function Browser:must_be(answer, status, word)
  if answer.status ~= status or (word and answer.headers['X-Error'] ~= word) then
    differs(self, format('%d %s', status, word or ''), answer)
  end
end

function Browser:must_refuse(answer, status, word)
  self:must_be(answer, status, word)
  if self:has_session() then
    differs(self, 'no session', answer)
  end
end

function Browser:must_return(answer, target)
  if answer.status ~= 302 or answer.headers.Location ~= (target or self.page) then
    differs(self, 'a redirect to ' .. (target or self.page), answer)
  end
end

function Browser:must_be_sent_to_provider(answer)
  local location = answer.headers.Location or ''
  local state = location:match('[?&]state=([^&]+)')
  if answer.status ~= 302 or not state or not location:find('/' .. self.site .. '/authorize?', 1, true) then
    differs(self, 'a redirect to the provider', answer)
  end
  return { state = state, nonce = location:match('[?&]nonce=([^&]+)'),
    challenge = location:match('[?&]code_challenge=([^&]+)') }
end

-- --- the steps of a login

function Browser:begin(page)
  return self:must_be_sent_to_provider(self:get(page or self.page))
end

function Browser:code(case, login)
  return table.concat({ case, login.nonce, login.challenge, self.user }, '.')
end

function Browser:call_back(query)
  return self:get(self.callback_path .. '?' .. query)
end

function Browser:call_back_with_code(case, login)
  return self:call_back('state=' .. login.state .. '&code=' .. self:code(case, login))
end

function Browser:must_be_logged_in()
  local answer = self:get(self.page)
  self:must_be(answer, 200)
  if answer.headers['X-User'] ~= self.user then
    differs(self, 'user ' .. self.user .. ' instead of ' .. tostring(answer.headers['X-User']), answer)
  end
end

function Browser:log_in(case)
  local login = self:begin()
  self:must_return(self:call_back_with_code(case, login))
  self:must_be_logged_in()
  return login
end

-- --- the cases: weight, and what happens

local cases = {}

local function case(name, weight, play)
  cases[#cases + 1] = { name = name, weight = weight, play = play, runs = 0, failed = 0, lost = 0 }
end

-- The provider plays the case of that name, and the login ends well, or with this status and this $oidc_error.
local function logs_in(name, weight)
  case(name, weight, function(browser) browser:log_in(name) end)
end

local function is_refused(name, weight, status, word)
  case(name, weight, function(browser)
    local answer = browser:call_back_with_code(name, browser:begin())
    browser:must_refuse(answer, status, word)
  end)
end

-- The browser's own doing: a callback with this query, made of its login.
local function calls_back(name, weight, status, word, query_of)
  case(name, weight, function(browser)
    local login = browser:begin()
    browser:must_refuse(browser:call_back(query_of(login, browser)), status, word)
  end)
end

logs_in('good', 400)
logs_in('good_big', 50)
logs_in('good_chunked', 30)
logs_in('good_interim', 10)
logs_in('good_slow', 5)

is_refused('bad_signature', 20, 403, 'id_token_signature')
is_refused('unknown_kid', 20, 403, 'id_token_key')
is_refused('wrong_nonce', 20, 403, 'id_token_nonce')
is_refused('wrong_iss', 10, 403, 'id_token_issuer')
is_refused('wrong_aud', 10, 403, 'id_token_audience')
is_refused('wrong_at_hash', 10, 403, 'id_token_at_hash')
is_refused('expired', 10, 403, 'id_token_expired')
is_refused('no_sub', 10, 403, 'id_token_subject')
is_refused('alg_none', 10, 403, 'id_token_alg')
is_refused('alg_hs256', 10, 403, 'id_token_alg')
is_refused('duplicate_claims', 10, 403, 'id_token_malformed')
is_refused('garbage_claims', 10, 403, 'id_token_malformed')
is_refused('garbage_id_token', 10, 403, 'id_token_malformed')
is_refused('no_id_token', 10, 403, 'id_token_missing')
is_refused('invalid_grant', 20, 400, 'provider_invalid_grant')

is_refused('status_500', 10, 502, 'upstream_status')
is_refused('html', 10, 502, 'upstream_status')
is_refused('redirect', 10, 502, 'upstream_status')
is_refused('compressed', 10, 502, 'upstream_answer')
is_refused('garbage', 10, 502, 'upstream_token')
is_refused('duplicate_members', 10, 502, 'upstream_token')
is_refused('deep', 5, 502, 'upstream_token')
is_refused('truncated', 10, 502, 'upstream_answer')
is_refused('reset_in_body', 10, 502, 'upstream_answer')
is_refused('closed', 10, 502, 'upstream_unreachable')
is_refused('reset', 10, 502, 'upstream_unreachable')
is_refused('not_http', 10, 502, 'upstream_answer')
is_refused('bad_chunks', 10, 502, 'upstream_answer')
is_refused('huge_head', 5, 502, 'upstream_answer')
is_refused('oversize', 3, 502, 'upstream_answer')
is_refused('endless', 3, 502, 'upstream_answer')
is_refused('silent', 1, 504, 'upstream_timeout')
is_refused('drip', 1, 504, 'upstream_timeout')

calls_back('access_denied', 20, 403, 'provider_access_denied', function(login)
  return 'error=access_denied&error_description=The+user+left&state=' .. login.state
end)
calls_back('another_error', 5, 400, 'provider_error', function(login)
  return 'error=out_of_order&state=' .. login.state
end)
calls_back('code_and_error', 10, 400, 'callback_malformed', function(login)
  return 'code=a&error=access_denied&state=' .. login.state
end)
calls_back('neither', 5, 400, 'callback_malformed', function(login)
  return 'state=' .. login.state
end)
calls_back('twice_a_code', 5, 400, 'callback_malformed', function(login)
  return 'code=a&code=b&state=' .. login.state
end)
calls_back('long_code', 5, 400, 'callback_malformed', function(login)
  return 'code=' .. ('c'):rep(5000) .. '&state=' .. login.state
end)
calls_back('long_error', 5, 400, 'callback_malformed', function(login)
  return 'error=' .. ('e'):rep(2000) .. '&state=' .. login.state
end)
calls_back('bad_encoding', 5, 400, 'callback_malformed', function(login)
  return 'code=%zz&state=' .. login.state
end)
calls_back('no_state', 10, 400, 'state_missing', function()
  return 'code=a'
end)
calls_back('wrong_issuer', 5, 400, 'callback_issuer', function(login, browser)
  return 'code=a&iss=https%3A%2F%2Fanother.example&state=' .. login.state
end)
calls_back('too_long', 5, 414, nil, function(login)
  return 'code=' .. ('c'):rep(20000) .. '&state=' .. login.state
end)

case('garbage_state', 10, function(browser)
  browser:must_refuse(browser:call_back('code=a&state=' .. ('garbage'):rep(30)), 400, 'state_invalid')
end)

-- The state of another browser's login, with the cookie of one's own.
case('foreign_state', 10, function(browser)
  local login = browser:begin()
  browser.jar = {}
  browser:begin()
  browser:must_refuse(browser:call_back_with_code('good', login), 400, 'state_foreign')
end)

-- Asked for a cookie, then refused.
case('no_cookies', 10, function(browser)
  local login = browser:begin()
  browser.jar = {}
  browser:must_return(browser:call_back_with_code('good', login), browser.callback_path .. '?state=' .. login.state)
  browser.jar = {}
  browser:must_refuse(browser:call_back('state=' .. login.state), 400, 'state_cookie')
end)

-- Asked for a cookie, which it has, and sent to its page.
case('lost_cookies', 10, function(browser)
  local login = browser:begin()
  browser.jar = {}
  browser:must_return(browser:call_back_with_code('good', login), browser.callback_path .. '?state=' .. login.state)
  browser:must_return(browser:call_back('state=' .. login.state))
  browser:log_in('good')
end)

-- A double click: the copy leaves with the cookies of the first.
case('copied_callback', 10, function(browser)
  local login = browser:begin()
  local jar = copy(browser.jar)
  browser:must_return(browser:call_back_with_code('good', login))
  browser.jar = jar
  browser:must_return(browser:call_back_with_code('good', login))
  browser:must_be_logged_in()
end)

case('back_button', 10, function(browser)
  local login = browser:log_in('good')
  browser:must_return(browser:call_back_with_code('good', login))
  browser:must_be_logged_in()
end)

case('replayed_refusal', 10, function(browser)
  local login = browser:begin()
  browser:must_refuse(browser:call_back_with_code('invalid_grant', login), 400, 'provider_invalid_grant')
  browser:must_refuse(browser:call_back_with_code('good', login), 400, 'state_used')
end)

case('posted_callback', 10, function(browser)
  local login = browser:begin()
  local form = 'state=' .. login.state .. '&code=' .. browser:code('good', login)
  local answer = browser:send('POST', browser.callback_path .. '?state=' .. login.state, form)
  browser:must_refuse(answer, 400, 'callback_malformed')
end)

case('forged_session', 10, function(browser)
  browser.jar.NGX_OIDC_SESSION = ('forged'):rep(100)
  browser:begin()
end)

case('odd_cookies', 10, function(browser)
  for i = 1, 40 do
    browser.jar[format('NGX_OIDC_SESSION_login_%04d', i)] = ('x'):rep(22)
  end
  browser.jar[''] = ''
  browser.jar['NGX_OIDC_SESSION.99999999'] = 'x'
  browser.jar.NGX_OIDC_SESSION = '9.x'
  browser:begin()
end)

-- Its return target travels in a cookie of its own.
case('long_target', 10, function(browser)
  browser.page = browser.page .. '&' .. ('long'):rep(500)
  browser:log_in('good')
end)

-- --- what wrk calls: setup() in its main thread, the others in a state per thread

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set('id', threads)
end

local function pick(rows)
  local sum = 0
  for _, row in ipairs(rows) do
    sum = sum + row.weight
  end
  local at = math.random() * sum
  for _, row in ipairs(rows) do
    at = at - row.weight
    if at < 0 then
      return row
    end
  end
  return rows[#rows]
end

local logins_told_at_once = 20
local player  -- a coroutine: its requests come out, their answers go in
local pending -- the request that wrk is to send
local unanswered = false
local on_trial

local function note(case, failure)
  case.runs = case.runs + 1
  if failure and failure.lost then
    case.lost = case.lost + 1
  elseif failure then
    case.failed = case.failed + 1
    print(format('soak failure %s: %s', case.name, failure.text))
  end
end

-- What has ended since this was told before.
local function tell()
  for _, case in ipairs(cases) do
    if case.runs > 0 then
      print(format('soak case %s %d %d %d', case.name, case.runs, case.failed, case.lost))
    end
    case.runs, case.failed, case.lost = 0, 0, 0
  end
end

local function play()
  for n = 1, math.huge do
    local browser = open_browser(pick(sites), format('user-%d-%d', id, n))
    local case = pick(cases)
    local ok, failure = pcall(case.play, browser)
    note(case, not ok and (type(failure) == 'table' and failure or { text = failure }))
    if n % logins_told_at_once == 0 then
      tell()
    end
  end
end

local function go_on(answer)
  local ok, request = coroutine.resume(player, answer)
  return ok and request or error(request)
end

function init()
  math.randomseed(os.time() * 1000 + id)
  io.stdout:setvbuf('line')
  player = coroutine.create(play)
  pending = go_on()
  on_trial = id == 1
end

-- Asked again before there was an answer: the connection ended without one. The very first time wrk only tries.
function request()
  if on_trial then
    on_trial = false
    return pending
  end
  if unanswered then
    pending = go_on(nil)
  end
  unanswered = true
  return pending
end

function response(status, headers)
  unanswered = false
  pending = go_on({ status = status, headers = headers })
end

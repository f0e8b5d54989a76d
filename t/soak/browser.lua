-- The browsers of the soak test, run by wrk: each of its threads has one connection and performs one login after another,
-- with a new browser every time, by a case chosen at random from `cases`. Every response is compared with what the case
-- expects. A new case of the provider is one row here and one in provider.mjs.

local format = string.format

-- --- one browser

local Browser = {}
Browser.__index = Browser

-- Kinds of providers: each has a block and a path in nginx.conf.in, and a row in provider.mjs. All cases run at all of
-- them. For another response mode (form_post), extend Browser:call_back and must_return.
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

-- Gives a request to wrk and returns its response; raises an error if the connection ended without one.
function Browser:send(method, target, body)
  local headers = { Cookie = cookie_header(self.jar) }
  if body then
    headers['Content-Type'] = 'application/x-www-form-urlencoded'
  end
  local response = coroutine.yield(wrk.format(method, target, headers, body))
  if not response then
    error({ lost = true })
  end
  keep_cookie(self.jar, response.headers['X-Cookie'])
  keep_cookie(self.jar, response.headers['Set-Cookie'])
  self.request = method .. ' ' .. target:sub(1, 40)
  return response
end

function Browser:get(target)
  return self:send('GET', target)
end

function Browser:has_session()
  return self.jar.NGX_OIDC_SESSION ~= nil
end

-- --- expected responses

local function differs(browser, wanted, response)
  error({ text = format('%s: wanted %s, got %d %s %s', browser.request, wanted, response.status,
    response.headers['X-Error'] or '', response.headers.Location or '') })
end

function Browser:must_be(response, status, word)
  if response.status ~= status or (word and response.headers['X-Error'] ~= word) then
    differs(self, format('%d %s', status, word or ''), response)
  end
end

function Browser:must_refuse(response, status, word)
  self:must_be(response, status, word)
  if self:has_session() then
    differs(self, 'no session', response)
  end
end

function Browser:must_return(response, target)
  if response.status ~= 302 or response.headers.Location ~= (target or self.page) then
    differs(self, 'a redirect to ' .. (target or self.page), response)
  end
end

function Browser:must_be_sent_to_provider(response)
  local location = response.headers.Location or ''
  local state = location:match('[?&]state=([^&]+)')
  if response.status ~= 302 or not state or not location:find('/' .. self.site .. '/authorize?', 1, true) then
    differs(self, 'a redirect to the provider', response)
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
  local response = self:get(self.page)
  self:must_be(response, 200)
  if response.headers['X-User'] ~= self.user then
    differs(self, 'user ' .. self.user .. ' instead of ' .. tostring(response.headers['X-User']), response)
  end
end

function Browser:log_in(case)
  local login = self:begin()
  self:must_return(self:call_back_with_code(case, login))
  self:must_be_logged_in()
  return login
end

-- --- the cases: name, weight and actions

local cases = {}

local function case(name, weight, run)
  cases[#cases + 1] = { name = name, weight = weight, run = run, runs = 0, failed = 0, lost = 0 }
end

-- The provider responds by the case of that name; the login succeeds, or fails with this status and $oidc_error.
local function logs_in(name, weight)
  case(name, weight, function(browser) browser:log_in(name) end)
end

local function is_refused(name, weight, status, word)
  case(name, weight, function(browser)
    local response = browser:call_back_with_code(name, browser:begin())
    browser:must_refuse(response, status, word)
  end)
end

-- The browser sends a callback with this query, which is made from its login.
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

is_refused('bad_signature', 20, 502, 'id_token_signature')
is_refused('unknown_kid', 20, 502, 'id_token_key')
is_refused('wrong_nonce', 20, 403, 'id_token_nonce')
is_refused('wrong_iss', 10, 403, 'id_token_issuer')
is_refused('wrong_aud', 10, 403, 'id_token_audience')
is_refused('wrong_at_hash', 10, 403, 'id_token_at_hash')
is_refused('expired', 10, 502, 'id_token_expired')
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

-- The state of another browser's login, with the cookie of its own login
case('foreign_state', 10, function(browser)
  local login = browser:begin()
  browser.jar = {}
  browser:begin()
  browser:must_refuse(browser:call_back_with_code('good', login), 400, 'state_foreign')
end)

-- Sent to the callback again with a new cookie, which it does not keep, and refused
case('no_cookies', 10, function(browser)
  local login = browser:begin()
  browser.jar = {}
  browser:must_return(browser:call_back_with_code('good', login), '?state=' .. login.state)
  browser.jar = {}
  browser:must_refuse(browser:call_back('state=' .. login.state), 400, 'state_cookie')
end)

-- Sent to the callback again with a new cookie, which it keeps, and sent to its page
case('lost_cookies', 10, function(browser)
  local login = browser:begin()
  browser.jar = {}
  browser:must_return(browser:call_back_with_code('good', login), '?state=' .. login.state)
  browser:must_return(browser:call_back('state=' .. login.state))
  browser:log_in('good')
end)

-- A double click: the second callback gets the cookies of the first.
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
  local response = browser:send('POST', browser.callback_path .. '?state=' .. login.state, form)
  browser:must_refuse(response, 400, 'callback_malformed')
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

-- The return URL is stored in a separate cookie.
case('long_target', 10, function(browser)
  browser.page = browser.page .. '&' .. ('long'):rep(500)
  browser:log_in('good')
end)

-- --- called by wrk: setup() in its main thread, the others in each thread with its own Lua state

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

local logins_per_report = 20
local runner  -- a coroutine that yields requests and is resumed with their responses
local pending -- the request that wrk sends next
local has_no_response = false
local is_probe

local function note(case, failure)
  case.runs = case.runs + 1
  if failure and failure.lost then
    case.lost = case.lost + 1
  elseif failure then
    case.failed = case.failed + 1
    print(format('soak failure %s: %s', case.name, failure.text))
  end
end

-- Reports the logins that have ended since the last report.
local function report()
  for _, case in ipairs(cases) do
    if case.runs > 0 then
      print(format('soak case %s %d %d %d', case.name, case.runs, case.failed, case.lost))
    end
    case.runs, case.failed, case.lost = 0, 0, 0
  end
end

local function run()
  for n = 1, math.huge do
    local browser = open_browser(pick(sites), format('user-%d-%d', id, n))
    local case = pick(cases)
    local ok, failure = pcall(case.run, browser)
    note(case, not ok and (type(failure) == 'table' and failure or { text = failure }))
    if n % logins_per_report == 0 then
      report()
    end
  end
end

local function resume(response)
  local ok, request = coroutine.resume(runner, response)
  return ok and request or error(request)
end

function init()
  math.randomseed(os.time() * 1000 + id)
  io.stdout:setvbuf('line')
  runner = coroutine.create(run)
  pending = resume()
  is_probe = id == 1
end

-- A second call before the response means that the connection ended without one. The very first call is only a probe.
function request()
  if is_probe then
    is_probe = false
    return pending
  end
  if has_no_response then
    pending = resume(nil)
  end
  has_no_response = true
  return pending
end

function response(status, headers)
  has_no_response = false
  pending = resume({ status = status, headers = headers })
end

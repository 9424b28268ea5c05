-- clock: the server's time, and who is alive by it. A fragment; wants KEYS[1] sessions.
-- include server_time
local known = {}
local function ends(session)
  if known[session] == nil then
    known[session] = tonumber(redis.call('ZSCORE', KEYS[1], session) or '') or false
  end
  return known[session]
end
local function is_alive(session)
  local at = ends(session)
  return at and at > now
end

-- end_hold: take a lock away from whoever holds it with this token, by hand. Readers of
-- one phase share a token: all of them are ended.
-- idempotent
-- KEYS  1 sessions        ARGV  1 name, 2 token
-- returns {how many holds were ended, last token or ''}
-- clock: server
-- include keys
-- include granting
-- include room
-- include holders
local name, token, ended = ARGV[1], tonumber(ARGV[2]), 0
local lock = redis.call('HGETALL', holds(name))
local is_held, last = {}, ''
for at = 1, #lock, 2 do
  is_held[lock[at]] = lock[at + 1]
end
local mode = is_held['m']
last = is_held['f'] or ''
-- What is left are the holders.
is_held['m'], is_held['f'], is_held['u'] = nil, nil, nil
for id, record in pairs(is_held) do
  local is = fields(record)
  local first = tonumber(is[1])
  -- A writer has a block of tokens: it may have been handed on inside its process.
  local final = mode == 'x' and tonumber(last) or first
  if token >= first and token <= final then
    end_claim(name, id)
    tell(is[4], 'lost', name, id)
    ended = ended + 1
  end
end
return {ended, last}

-- commit: one transaction of the configuration. All conditions hold, or nothing happens.
-- idempotent: the same id again returns the revision that it has
-- KEYS  1 meta, 2 leaves, 3 revisions of leaves (below 0: gone), 4 index of leaves,
--       5 log, 6 tokens by fence (see fence), 7 ids that are done, 8 sessions, 9 channel
-- ARGV  1 id, 2 epoch if a new one begins, 3 expected revision or '', 4 fence or '',
--       5 token, 6 session or '', 7 author, 8 comment, 9 record for the log,
--       10 log length, 11 most leaves, 12 number of writes; then for each write:
--       key, '1' to delete | '0', expected revision or '', n, n × (leaf, value)
-- returns {'ok', revision} | {'conflict', key or '', revision now} | {'stale', token}
--         | {'session'} | {'full', leaves}
-- clock: server
-- include server_time
local base = string.sub(KEYS[6], 1, -6)
-- include fence
local done = redis.call('ZSCORE', KEYS[7], ARGV[1])
if done then
  return {'ok', tonumber(done)}
end

if ARGV[4] ~= '' then
  if ARGV[6] ~= '' then
    local ends = redis.call('ZSCORE', KEYS[8], ARGV[6])
    if not ends or tonumber(ends) <= now then
      return {'session'}
    end
  end
  local last = overtaken(base, ARGV[4], ARGV[5])
  if last then
    return {'stale', last}
  end
end

local revision = tonumber(redis.call('HGET', KEYS[1], 'revision') or '0')
if ARGV[3] ~= '' and tonumber(ARGV[3]) ~= revision then
  return {'conflict', '', revision}
end

-- Every leaf ever at or below a key: '/' is the character after '.'.
local function family(key)
  local found = redis.call('ZRANGEBYLEX', KEYS[4], '[' .. key .. '.', '(' .. key .. '/')
  table.insert(found, key)
  return found
end

local function last_touch(key)
  local latest, lives = 0, false
  for _, leaf in ipairs(family(key)) do
    local at = tonumber(redis.call('HGET', KEYS[3], leaf) or '0')
    lives = lives or at > 0
    latest = math.max(latest, math.abs(at))
  end
  return latest, lives
end

local writes, at, added = {}, 13, 0
for number = 1, tonumber(ARGV[12]) do
  local key, expected, count = ARGV[at], ARGV[at + 2], tonumber(ARGV[at + 3])
  if expected ~= '' then
    local latest, lives = last_touch(key)
    local wanted = tonumber(expected)
    if (wanted == 0 and lives) or (wanted ~= 0 and wanted ~= latest) then
      return {'conflict', key, latest}
    end
  end
  for put = 0, count - 1 do
    added = added + 1 - redis.call('HEXISTS', KEYS[2], ARGV[at + 4 + 2 * put])
  end
  writes[number] = {key = key, deletes = ARGV[at + 1] == '1', first = at + 4, count = count}
  at = at + 4 + 2 * count
end
local live = redis.call('HLEN', KEYS[2])
if added > 0 and live + added > tonumber(ARGV[11]) then
  return {'full', live}
end

revision = revision + 1
if redis.call('HSETNX', KEYS[1], 'epoch', ARGV[2]) == 1 and revision == 1 then
  redis.call('DEL', KEYS[5], KEYS[7])
end

local function remove(leaf)
  if redis.call('HDEL', KEYS[2], leaf) == 1 then
    redis.call('HSET', KEYS[3], leaf, -revision)
  end
end

for _, write in ipairs(writes) do
  for _, leaf in ipairs(family(write.key)) do
    remove(leaf)
  end
  if not write.deletes then
    local dot = string.find(write.key, '.', 1, true)
    while dot do
      remove(string.sub(write.key, 1, dot - 1))
      dot = string.find(write.key, '.', dot + 1, true)
    end
  end
  for put = 0, write.count - 1 do
    local leaf = ARGV[write.first + 2 * put]
    redis.call('HSET', KEYS[2], leaf, ARGV[write.first + 2 * put + 1])
    redis.call('HSET', KEYS[3], leaf, revision)
    redis.call('ZADD', KEYS[4], 0, leaf)
  end
end

-- What is gone is remembered, so that a revision never comes back; but not for ever.
-- Once it is forgotten, nobody may compare with what was read before: a new epoch.
if redis.call('HLEN', KEYS[3]) - redis.call('HLEN', KEYS[2]) > tonumber(ARGV[11]) then
  local revisions = redis.call('HGETALL', KEYS[3])
  for index = 1, #revisions, 2 do
    if tonumber(revisions[index + 1]) < 0 then
      redis.call('HDEL', KEYS[3], revisions[index])
      redis.call('ZREM', KEYS[4], revisions[index])
    end
  end
  redis.call('HSET', KEYS[1], 'epoch', ARGV[2])
end

redis.call('HSET', KEYS[1], 'revision', revision, 'id', ARGV[1])
redis.call('XADD', KEYS[5], 'MAXLEN', ARGV[10], revision .. '-0', 'id', ARGV[1],
  'at', now, 'by', ARGV[7], 'why', ARGV[8], 'did', ARGV[9])
redis.call('ZADD', KEYS[7], revision, ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[7], 0, -1 - tonumber(ARGV[10]))
if ARGV[4] ~= '' then
  remember(base, ARGV[4], ARGV[5])
end
redis.call('PUBLISH', KEYS[9], revision)
return {'ok', revision}

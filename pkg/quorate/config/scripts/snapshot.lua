#!lua flags=no-writes
-- snapshot: all that the configuration holds, as of one revision.
-- idempotent
-- KEYS  1 meta, 2 leaves, 3 revisions of leaves (below 0: gone)
-- returns {epoch, revision, id, leaves, revisions}; a list holds name, value, name, …
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'revision', 'id')
return {
  meta[1] or '', tonumber(meta[2] or '0'), meta[3] or '',
  redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3]),
}

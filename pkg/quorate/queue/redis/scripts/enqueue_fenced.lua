-- enqueue_fenced: put tasks in under a grant, unless a later one has written here.
-- idempotent: as enqueue; what is known already is no write.
-- KEYS  1 the queue's keys (prefix), 2 sessions
-- ARGV  1 queue, 2 name of the grant or '', 3 its token, 4 the session that must live, or '',
--       5… tasks, four words each: id, lane, delay in ms, envelope
-- returns for each task 1 (put in), 0 (known), or the id of the task that has its
--       unique key
--       | {-1, last token} overtaken | {-2} the session is over
-- clock: server
-- include server_time
-- include ring
-- include put_ready
-- include guards
-- include unique
local base, queue = KEYS[1], ARGV[1]
-- include put_in
-- include fence
local ids, known, all_known = look_up(5)
if not all_known then
  if ARGV[4] ~= '' then
    local ends = redis.call('ZSCORE', KEYS[2], ARGV[4])
    if not ends or tonumber(ends) <= now then
      return {-2}
    end
  end
  local last = ARGV[2] ~= '' and overtaken(base, ARGV[2], ARGV[3])
  if last then
    return {-1, last}
  end
  if ARGV[2] ~= '' then
    remember(base, ARGV[2], ARGV[3])
  end
end
return put_in_tasks(5, ids, known)

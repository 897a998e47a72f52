-- wrk: GET over all paths of a file (first argument), each thread starting elsewhere; the second argument is an Authorization header.
local requests, at, threads = {}, 0, 0

function setup(thread)
   thread:set("start", threads * 997)
   threads = threads + 1
end

function init(args)
   local headers = {}
   if args[2] then headers["Authorization"] = args[2] end
   for path in io.lines(args[1]) do
      requests[#requests + 1] = wrk.format("GET", path, headers)
   end
   at = start
end

function request()
   at = at + 1
   return requests[at % #requests + 1]
end

function done(summary, latency)
   io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.bytes, summary.duration, summary.errors.status,
      summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end

# Sidekiq under test. Usage: see bench/jobs/README.md.
require "json"
# Makes this a server, which sizes the connection pool by the concurrency.
require "sidekiq/cli" if ARGV[0] == "work"
require "sidekiq"
require "sidekiq/launcher"

command = ARGV.shift
options = { "--concurrency" => "10", "--rate" => "200" }
until ARGV.empty?
  name = ARGV.shift
  options[name] = name == "--latency" ? true : ARGV.shift
end
COUNT = Integer(options.fetch("--count"))
URL = "redis://#{options.fetch("--redis")}/0"
# id, time and padding are 80 bytes as JSON: {"id":1234567,"at":1763700000000000,"pad":"..."}
PAD = "x" * 35
$stdout.sync = true
Sidekiq.logger.level = Logger::WARN
# Debian's redis-rb is newer than its Sidekiq and would print a warning for each fetch.
Redis.silence_deprecations = true

def now = Process.clock_gettime(Process::CLOCK_REALTIME, :microsecond)

def say(values) = puts(JSON.generate(values))

def wait_for_go
  say(ready: true)
  exit 1 unless $stdin.gets
end

TALLY = Struct.new(:done, :sum, :first, :last).new(0, 0, 0, 0)
LOCK = Mutex.new
DELAYS = options["--latency"] ? Array.new(COUNT, 0) : nil

# The no-op job.
class CountJob
  include Sidekiq::Worker
  sidekiq_options queue: "bench"

  def perform(id, at, _pad)
    started = now
    LOCK.synchronize do
      TALLY.done += 1
      TALLY.sum += id
      TALLY.first = started if TALLY.first == 0
      TALLY.last = started
    end
    DELAYS[id] = started - at if DELAYS
  end
end

case command
when "enqueue"
  Sidekiq.configure_client { |config| config.redis = { url: URL, size: 50 } }
  # So that connecting is not measured: the first job of each run goes in before.
  CountJob.perform_async(0, now, PAD)
  wait_for_go
  first = now
  case options.fetch("--mode")
  when "single"
    (1...COUNT).each { |id| CountJob.perform_async(id, now, PAD) }
  when "inflight50"
    (0...50).map { |part| Thread.new { (part + 1).step(COUNT - 1, 50) { |id| CountJob.perform_async(id, now, PAD) } } }.each(&:join)
  when "bulk"
    (1...COUNT).each_slice(1000) { |ids| CountJob.perform_bulk(ids.map { |id| [id, now, PAD] }) }
  when "rate"
    rate = Integer(options["--rate"])
    (1...COUNT).each do |id|
      wait = first + id * 1_000_000 / rate - now
      sleep(wait / 1e6) if wait > 0
      CountJob.perform_async(id, now, PAD)
    end
  end
  say(jobs: COUNT, first: first, last: now)
when "work"
  concurrency = Integer(options["--concurrency"])
  Sidekiq.options.merge!(queues: ["bench"], concurrency: concurrency, timeout: 10)
  Sidekiq.configure_server { |config| config.redis = { url: URL, size: concurrency + 5 } }
  wait_for_go
  launcher = Sidekiq::Launcher.new(Sidekiq.options)
  launcher.run
  told_to_stop = Thread.new { $stdin.read }
  say(done: TALLY.done) until told_to_stop.join(0.05)
  launcher.quiet
  say({ done: TALLY.done, sum: TALLY.sum, first: TALLY.first, last: TALLY.last }.merge(DELAYS ? { delays: DELAYS } : {}))
  # A fetched job has left Redis already, so there is nothing to hand back; a full stop waits two seconds for its BRPOPs.
  exit!(0)
end

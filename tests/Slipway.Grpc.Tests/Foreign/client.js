// Calls every method of the echo service with @grpc/grpc-js and prints what happened as one JSON object.
'use strict';
const path = require('node:path');
const modules = process.env.NODE_MODULES;
const grpc = require(path.join(modules, '@grpc/grpc-js'));
const loader = require(path.join(modules, '@grpc/proto-loader'));

const load = (file) => grpc.loadPackageDefinition(loader.loadSync(path.join(__dirname, file), { keepCase: true, enums: String, defaults: true }));
const echo = load('echo.proto').slipway.test.Echo;
const health = load('services.proto').grpc.health.v1.Health;
const reflection = load('reflection.proto').grpc.reflection.v1.ServerReflection;
const target = process.argv[2];
const limits = { 'grpc.max_receive_message_length': 16 << 20 };
const client = new echo(target, grpc.credentials.createInsecure(), limits);
const unary = (call) => new Promise((resolve) => call((error, answer) => resolve(error ? { code: error.code, details: error.details, metadata: error.metadata } : answer)));
const stream = (call) => new Promise((resolve) => {
  const seen = { count: 0 };
  call.on('data', (note) => { seen.count++; seen.last = note; });
  call.on('error', () => {});
  call.on('status', (status) => resolve({ ...seen, code: status.code, details: status.details }));
});

async function main() {
  const results = {};
  results.unary = await unary((done) => client.Unary({ text: 'grüß', count: 3 }, done));
  results.serverStream = await stream(client.ServerStream({ text: 'x', count: 1000 }));
  results.clientStream = await unary((done) => {
    const call = client.ClientStream(done);
    for (let i = 0; i < 100; i++) call.write({ text: 'y'.repeat(20000), count: i });
    call.end();
  });
  results.bidi = await new Promise((resolve) => {
    const call = client.Bidi();
    const seen = [];
    call.on('data', (note) => {
      seen.push(note.count);
      if (note.count < 10) call.write({ text: '', count: note.count + 1 });
      else call.end();
    });
    call.on('status', (status) => resolve({ seen, code: status.code }));
    call.write({ text: '', count: 1 });
  });
  const metadata = new grpc.Metadata();
  metadata.set('x-note', 'plain');
  metadata.add('x-note-bin', Buffer.from([0, 255, 1]));
  metadata.add('x-note-bin', Buffer.from([9]));
  results.metadata = await new Promise((resolve) => {
    const seen = {};
    const call = client.Unary({ text: 'm', count: 1 }, metadata, () => {});
    call.on('metadata', (headers) => { seen.header = headers.get('x-note')[0]; });
    call.on('status', (status) => {
      seen.first = status.metadata.get('x-note-0-bin')[0]?.toString('hex');
      seen.second = status.metadata.get('x-note-1-bin')[0]?.toString('hex');
      resolve(seen);
    });
  });
  results.large = (await unary((done) => client.Unary({ text: 'z'.repeat(6 << 20), count: 1 }, done))).text.length;
  results.tooLarge = await unary((done) => client.ServerStream({ text: 'z'.repeat(5 << 20), count: 1 }).on('error', done).on('data', () => {}));
  const fail = await unary((done) => client.Fail({ text: 'not here: ✓ 100 %', count: 5 }, done));
  results.fail = { code: fail.code, details: fail.details, rich: fail.metadata.get('grpc-status-details-bin')[0]?.toString('hex') };
  results.failLate = await stream(client.FailLate({ text: 'too late', count: 9 }));
  const thrown = await unary((done) => client.Throw({ text: '', count: 0 }, done));
  results.thrown = { code: thrown.code, details: thrown.details };
  const late = await unary((done) => client.Hang({ text: '', count: 0 }, { deadline: Date.now() + 200 }, done));
  results.deadline = late.code;
  results.cancelled = await new Promise((resolve) => {
    const call = client.Bidi();
    call.on('error', (error) => resolve(error.code));
    call.on('data', () => call.cancel());
    call.write({ text: '', count: 1 });
  });
  const gzip = new echo(target, grpc.credentials.createInsecure(), { ...limits, 'grpc.default_compression_algorithm': 2 });
  results.gzip = (await unary((done) => gzip.Unary({ text: 'c'.repeat(200000), count: 1 }, done))).text.length;
  const deflate = new echo(target, grpc.credentials.createInsecure(), { ...limits, 'grpc.default_compression_algorithm': 1 });
  results.deflate = (await unary((done) => deflate.Unary({ text: 'c'.repeat(2000), count: 1 }, done))).code;
  const pinging = new echo(target, grpc.credentials.createInsecure(), { 'grpc.keepalive_time_ms': 20, 'grpc.keepalive_permit_without_calls': 1 });
  results.keepalive = [];
  for (let i = 0; i < 3; i++) {
    results.keepalive.push((await unary((done) => pinging.Unary({ text: '', count: i }, done))).count);
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
  const doctor = new health(target, grpc.credentials.createInsecure());
  results.health = (await unary((done) => doctor.Check({ service: '' }, done))).status;
  results.noHealth = (await unary((done) => doctor.Check({ service: 'no.Such' }, done))).code;
  results.watch = await new Promise((resolve) => {
    const seen = [];
    const call = doctor.Watch({ service: 'slipway.test.Echo' });
    call.on('error', () => {});
    call.on('data', (answer) => {
      seen.push(answer.status);
      if (seen.length === 1) console.log('watching');
      if (seen.length === 2) { call.cancel(); resolve(seen); }
    });
  });
  results.reflection = await new Promise((resolve) => {
    const call = new reflection(target, grpc.credentials.createInsecure()).ServerReflectionInfo();
    const seen = {};
    call.on('data', (answer) => {
      if (answer.list_services_response) {
        seen.services = answer.list_services_response.service.map((service) => service.name);
        call.write({ file_containing_symbol: 'slipway.test.Note' });
      } else if (answer.file_descriptor_response) {
        seen.file = answer.file_descriptor_response.file_descriptor_proto.length;
        call.write({ file_containing_symbol: 'no.Such' });
      } else {
        seen.missing = answer.error_response.error_code;
        call.end();
      }
    });
    call.on('status', () => resolve(seen));
    call.write({ list_services: '' });
  });
  const parallel = await Promise.all(Array.from({ length: 2000 }, (_, i) => unary((done) => client.Unary({ text: '', count: i }, done))));
  results.parallel = parallel.filter((note, i) => note.count === i).length;
  console.log(JSON.stringify(results));
  process.exit(0);
}

main().catch((error) => { console.error(error); process.exit(1); });

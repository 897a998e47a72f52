// The echo service on @grpc/grpc-js, for our client. Prints its port; ends with its input.
'use strict';
const path = require('node:path');
const modules = process.env.NODE_MODULES;
const grpc = require(path.join(modules, '@grpc/grpc-js'));
const loader = require(path.join(modules, '@grpc/proto-loader'));
const { Echo } = grpc.loadPackageDefinition(loader.loadSync(path.join(__dirname, 'echo.proto'), { keepCase: true })).slipway.test;

const server = new grpc.Server({ 'grpc.default_compression_algorithm': process.argv[2] === 'gzip' ? 2 : 0, 'grpc.max_receive_message_length': 16 << 20 });
server.addService(Echo.service, {
  Unary(call, done) {
    const headers = new grpc.Metadata();
    const trailers = new grpc.Metadata();
    for (const value of call.metadata.get('x-note')) headers.add('x-note', value);
    call.metadata.get('x-note-bin').forEach((value, i) => trailers.add(`x-note-${i}-bin`, value));
    call.sendMetadata(headers);
    done(null, call.request, trailers);
  },
  ServerStream(call) {
    for (let i = 1; i <= call.request.count; i++) call.write({ text: call.request.text, count: i });
    call.end();
  },
  ClientStream(call, done) {
    let count = 0;
    call.on('data', () => { count++; });
    call.on('end', () => done(null, { text: '', count }));
  },
  Bidi(call) {
    call.on('data', (note) => call.write(note));
    call.on('end', () => call.end());
  },
  Fail(call, done) {
    const metadata = new grpc.Metadata();
    metadata.add('grpc-status-details-bin', Buffer.from('0805120161', 'hex'));
    done({ code: call.request.count, details: call.request.text, metadata });
  },
  FailLate(call) {
    call.write(call.request);
    call.emit('error', { code: call.request.count, details: call.request.text });
  },
  Throw() { throw new Error('on purpose'); },
  Hang() {},
});
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(port);
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));

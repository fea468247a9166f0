// One connection of a machine, as its standard input and output, passed on to a port of this machine's loopback.

import { connect } from 'node:net';

const socket = connect(Number(process.argv[2]), '127.0.0.1');
const end = () => process.exit();
process.stdin.on('end', end).on('error', end).pipe(socket);
socket.on('end', end).on('error', end).pipe(process.stdout);

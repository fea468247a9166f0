// The least that a resident Node program can be: it says that it runs, and waits.

console.log('connected');
setInterval(() => {}, 30_000);

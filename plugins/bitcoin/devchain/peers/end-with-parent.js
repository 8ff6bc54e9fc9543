// Loaded before a test's node: ends it when the test that started it is gone, however that ended.
'use strict';

const parent = process.ppid;

setInterval(() => {
  if (process.ppid !== parent)
    process.exit(1);
}, 500).unref();

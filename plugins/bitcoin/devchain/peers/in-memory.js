// Loaded into hsd by --require. Its database package loads a native LevelDB whatever is asked for, also where all of it
// is kept in memory; npm's build scripts do not run here, so that module is not there and is not needed.
'use strict';

const Module = require('module');
const load = Module._load;

Module._load = function (request, ...rest) {
  const loaded = load.call(this, request, ...rest);
  if (request !== 'loady') return loaded;
  return (name, ...more) => (name === 'leveldown' ? {} : loaded(name, ...more));
};

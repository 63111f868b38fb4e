package stripe

// ReadsOf is readsOf for tests.
var ReadsOf = readsOf

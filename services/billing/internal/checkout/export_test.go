package checkout

// JobName is the name of an account's lease.
var JobName = jobName //nolint:gochecknoglobals // for tests only

package connect

// BatchedRepeatable counts the calls that travel in batches and may be repeated; -1 when one may not.
func BatchedRepeatable() int {
	for method := range batched {
		if !repeatable[method] {
			return -1
		}
	}
	return len(batched)
}

package rest

// expected says what a field must have, by the word that protojson's errors use for its type.
func expected(kind string) string {
	switch kind {
	case "int32", "int64", "uint32", "uint64":
		return "must be a whole number in the range of " + kind
	case "float", "double":
		return "must be a number"
	case "bool":
		return "must be true or false"
	case "bytes":
		return "must be bytes in base64"
	case "enum":
		return "must be one of the names that /openapi.json lists for it"
	case "Timestamp":
		return "must be a time such as 2030-01-31T12:00:00Z, from the year 1 to 9999"
	case "Duration":
		return "must be a duration in seconds such as 600s"
	case "FieldMask":
		return "must be names of fields such as name,requestsPerMinute"
	}
	return "must be a text"
}

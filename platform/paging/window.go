package paging

import "slices"

// LongSize is the page size for the one that a request asks for, in lists that usually fit on one page.
func LongSize(asked int32) int {
	if asked <= 0 {
		return MaxSize
	}
	return Size(asked)
}

// Window cuts one page out of a list that is in memory as a whole, and returns it with the token of the next page. The page
// begins after the object that the token names. If the list no longer has this object, the token is invalid.
func Window[T any](l List, all []T, size int, token string, cursor func(T) Cursor) (objects []T, next string, err error) {
	after, err := l.Cursor(token)
	if err != nil {
		return nil, "", err
	}
	if token != "" {
		at := slices.IndexFunc(all, func(object T) bool { return cursor(object) == after })
		if at < 0 {
			return nil, "", Invalid()
		}
		all = all[at+1:]
	}
	objects, next = Cut(l, all, size, cursor)
	return objects, next, nil
}

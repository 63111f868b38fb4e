// Package texts_test checks the prose of the repository: texts that the integration guide fixes, and phrases that are banned.
package texts_test

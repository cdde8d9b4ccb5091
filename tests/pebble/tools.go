//go:build tools

// Package tools names the programs that are built here, so that go.mod keeps their dependencies.
package tools

import (
	_ "github.com/letsencrypt/pebble/v2/cmd/pebble"
	_ "github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv"
)

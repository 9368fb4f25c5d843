"""An AWS on one machine: what `make up` and the tests run on."""

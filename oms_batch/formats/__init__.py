"""bytes <-> tables; knows no stage and no rule."""

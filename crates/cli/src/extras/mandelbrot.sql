-- The Mandelbrot set.
with recursive grid as (
  select x, y, -2.2 + 0.031 * x as cx, -1.5 + 0.031 * y as cy
  from pg_catalog.generate_series(0, 101) as x, pg_catalog.generate_series(0, 101) as y
), z (x, y, cx, cy, re, im, step) as (
  select x, y, cx::float8, cy::float8, cx::float8, cy::float8, 0 from grid
  union all
  select x, y, cx, cy, re * re - im * im + cx, 2 * re * im + cy, step + 1
  from z where re * re + im * im < 16 and step < 100
), points as (
  select x, y, max(step) as steps from z group by x, y
)
select pg_catalog.string_agg(
  pg_catalog.substr(' .,,,-----++++%%%%@@@@#### ', least(greatest(steps, 1), 27), 1), '' order by x
) as mandelbrot
from points group by y order by y

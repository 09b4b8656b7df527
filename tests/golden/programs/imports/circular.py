from _circle import value

other = value

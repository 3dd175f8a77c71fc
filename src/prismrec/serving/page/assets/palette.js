// Colours: one per view, and a fixed order for the values of a view on the map.

/** View -> CSS colour, in the order of the bundle's views. */
export const viewColours = (views) => Object.fromEntries(views.map((view, place) => [view.name, `var(--view-${place % 6})`]));

/** How many values of a view get a colour of their own on the map. */
export const N_COLOURS = 10;

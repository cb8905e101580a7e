import { describeGradients } from '#test/support/describe-gradients.ts';
import { shapeCases } from './cases/shape.ts';

describeGradients('shape', shapeCases);

import { describeGradients } from '#test/support/describe-gradients.ts';
import { elementwiseCases } from './cases/elementwise.ts';

describeGradients('elementwise', elementwiseCases);
